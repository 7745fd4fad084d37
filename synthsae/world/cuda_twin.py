"""The samples that the kernel of `cuda.py` draws, computed sample by sample with NumPy.

The kernel is compared with this code, which is slow. `Sampler`, which takes the kernel's place,
draws from the same law with other random numbers.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from synthsae import rng
from synthsae.arrays import Array
from synthsae.world.source import World

EVENT, PHASE, CODE, NOISE = range(4)
"""What a random number is for."""


def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, ...]:
    """Four words of 32 bits by Philox 4x32-10, as Salmon et al. (2011) define them.

    Args:
        counter: four words.
        key: two words.
    """
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        high0, low0 = divmod(c[0] * 0xD2511F53, 2**32)
        high1, low1 = divmod(c[2] * 0xCD9E8D57, 2**32)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return tuple(c)


class Twin:
    """One row of a batch of the kernel.

    Args:
        world: a world that is `Sampler.simple`.
        stream: "data" or "eval".
        seed: data seed.
        t: number of the batch.
        row: the row of the batch.
    """

    def __init__(self, world: World, stream: str, seed: int, t: int, row: int):
        self.world, self.t, self.row = world, t, row
        word = rng.word(stream, seed, *world.sampler("cpu").own)
        self.key = word % 2**32, word >> 32

    def draw(self) -> tuple[Array, Array]:
        """The sample [D], and the magnitudes of the features in it, [F + G m]."""
        w, c = self.world, self.world.config
        x, value = w.bias.copy(), np.zeros(len(w.features))
        gates = c.n_blocks // c.blocks_per_gate if c.law != "sparse" else 0
        for gate, a, b, u in self._fired():
            if gate < c.n_isolated:
                share = gate / max(c.n_isolated - 1, 1)
                scale = c.scale_first + share * (c.scale_last - c.scale_first)
                sd = w.magnitude_sd[gate]
            else:
                scale, sd = c.block_scale, c.magnitude_sd
            radius = self._magnitude(scale, sd, a, b)
            if gate < len(value):
                value[gate] = radius
            elif gate < len(value) + gates:
                first = (gate - len(value)) * c.blocks_per_gate
                for g in range(first, first + c.blocks_per_gate):
                    x += w.bases[g] @ self._code(g, scale, sd, radius)
            else:
                if c.circle_density > 1:
                    u = -np.log(1 - u * (1 - 1 / c.circle_density)) / np.log(c.circle_density)
                angle = 2 * np.pi * c.circle_arc * u
                plane = w.planes[gate - len(value) - gates]
                x += plane @ (radius * np.array([np.cos(angle), np.sin(angle)]))
        return x + value @ w.features + c.noise * self._many(0, c.d_model, NOISE), value

    def _code(self, g: int, scale: float, sd: float, radius: float) -> Array:
        """The code of block g, [R]; its norm is `radius`, or its own where blocks share a gate."""
        c, quads = self.world.config, -(-self.world.config.rank // 4)
        code = self._many(g * quads, c.rank, CODE)
        if c.law == "gaussian":
            return c.block_scale * code
        if c.blocks_per_gate > 1:
            a, b, *_ = self._uniforms(c.n_blocks * quads + g, CODE)
            radius = self._magnitude(scale, sd, a, b)
        return radius / np.linalg.norm(code) * code

    def _words(self, i: int, purpose: int) -> tuple[int, ...]:
        return philox((i, 4 * self.row + purpose, self.t % 2**32, self.t >> 32), self.key)

    def _uniforms(self, i: int, purpose: int) -> list[float]:
        words = self._words(i, purpose)
        return [float(np.float32(w) + np.float32(0.5)) / 2**32 for w in words]

    def _normals(self, i: int, purpose: int) -> list[float]:
        a, b, c, d = self._uniforms(i, purpose)
        r, s = np.sqrt(-2 * np.log([a, c]))
        b, d = 2 * np.pi * b, 2 * np.pi * d
        return [r * np.cos(b), r * np.sin(b), s * np.cos(d), s * np.sin(d)]

    def _many(self, first: int, n: int, purpose: int) -> Array:
        return np.concatenate([self._normals(first + i, purpose) for i in range(-(-n // 4))])[:n]

    def _magnitude(self, scale: float, sd: float, a: float, b: float) -> float:
        z = np.sqrt(-2 * np.log(a)) * np.cos(2 * np.pi * b)
        return {
            "constant": scale,
            "uniform": scale * 3**0.5 * a,
            "half_normal": scale * abs(z),
            "exponential": scale * -np.log(a) / 2**0.5,
            "normal": max(0, scale + sd * z),
        }[self.world.config.magnitude]

    def _edges(self) -> Array:
        """The right end of each gate."""
        c, m = self.world.config, self.world.atoms.shape[1]
        block = 1 - (1 - c.block_p) ** (1 / m) if m else c.block_p
        p = [
            *c.firing_probabilities(),
            *[block] * (c.n_blocks * m or c.n_blocks // c.blocks_per_gate),
            *[c.circle_p] * c.n_circles,
        ]
        with np.errstate(divide="ignore"):
            return np.cumsum(np.minimum(-np.log(1 - np.array(p)), 40))

    def _fired(self) -> Iterator[tuple[int, float, float, float]]:
        """(gate, two uniforms for a magnitude, one for a phase), from left to right."""
        edges, end, event = self._edges(), 0.0, 0
        while True:
            a, b, *_ = self._words(event, EVENT)
            end -= np.log((a * 2**32 + b + 0.5) / 2**64)
            if end >= edges[-1]:
                return
            gate = int(np.sum(edges <= end))
            first, second = self._uniforms(event, EVENT)[2:]
            yield gate, first, second, self._uniforms(event, PHASE)[0]
            end, event = edges[gate], event + 1
