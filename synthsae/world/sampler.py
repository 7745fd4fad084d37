"""Draw batches of a world: which gates fire, how strongly, and the sum of their directions."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from synthsae.arrays import Array
from synthsae.rng import word
from synthsae.world.codes import block_codes, circle_codes
from synthsae.world.copula import Copula
from synthsae.world.magnitudes import MEANS, draw
from synthsae.world.planted import Planted
from synthsae.world.poisson import Gates
from synthsae.world.trees import candidates, descend

WIDEST = 8192
"""Largest D of which one program of the Triton kernel holds a row."""


class Sampler:
    """Draws batches of a world on one device, from tables that are made once.

    A *gate* fires or does not: an isolated feature, a sparse atom, a block (or `blocks_per_gate` of
    them) or a circle, in this order. Isolated features and atoms are called *singles*: each has one
    direction.

    Attributes:
        own: what the random numbers of this world have in their counters beside those of world 0.
    """

    def __init__(self, world: Planted, device: torch.device, seed: int = 0):
        c = self.config = world.config
        self.own = (seed,) if seed else ()

        def tensor(x: Array) -> Tensor:
            return torch.tensor(x, dtype=torch.float32, device=device)

        q, top = candidates(c), world.parent < 0
        self.q = tensor(q)
        self.copula = None
        if world.loadings.any():
            self.copula = Copula(world.loadings, q, np.flatnonzero(top), device)
        self.gates = Gates(_probabilities(world, q * top * (self.copula is None)), device)
        self.singles = tensor(world.features)
        axes = world.bases * np.sqrt(c.block_variances())  # codes have variances that are equal
        self.block_axes = tensor(axes.transpose(0, 2, 1).reshape(-1, c.d_model))
        self.circle_axes = tensor(world.planes.transpose(0, 2, 1).reshape(-1, c.d_model))
        self.first_circle = len(self.singles) + c.n_block_gates
        self.bias = tensor(world.bias)
        others = np.ones(len(self.gates.edges) - c.n_isolated)
        scale = np.linspace(c.scale_first, c.scale_last, c.n_isolated)
        self.scale = tensor(np.append(scale, c.block_scale * others))
        self.sd = tensor(np.append(world.magnitude_sd, c.magnitude_sd * others))
        self._keys: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def batch(self, size: int, g: torch.Generator) -> Tensor:
        """Draw `size` samples, [size, D]."""
        c, first_block = self.config, len(self.singles)
        row, gate = self.gates.fired(size, g)
        if len(self.gates.edges) == first_block:  # there are no blocks and no circles
            at, index, value = self.fire(row, gate, size, g)
            return self._with_bias_and_noise(_sum_rows(self.singles, index, value, at, size), g)
        single, circle = gate < first_block, gate >= self.first_circle
        block = ~(single | circle)
        at, index, value = self.fire(row[single], gate[single], size, g)
        x = _sum_rows(self.singles, index, value, at, size)
        if block.any():
            each = torch.arange(c.blocks_per_gate, device=gate.device)
            index = (gate[block] - first_block)[:, None] * c.blocks_per_gate + each
            code = block_codes(c, index.numel(), g)
            at = row[block].repeat_interleave(c.blocks_per_gate)
            x += _sum_codes(self.block_axes, index.ravel(), code, at, size)
        if circle.any():
            code = circle_codes(c, int(circle.sum()), g)
            index = gate[circle] - self.first_circle
            x += _sum_codes(self.circle_axes, index, code, row[circle], size)
        return self._with_bias_and_noise(x, g)

    def magnitudes(self, size: int, g: torch.Generator) -> Tensor:
        """Magnitude of every single in the samples of `batch` for the same state of the generator,
        [size, F + G m].
        """
        row, gate = self.gates.fired(size, g)
        single = gate < len(self.singles)
        at, index, value = self.fire(row[single], gate[single], size, g)
        out = torch.zeros(size, len(self.singles), device=g.device)
        return out.index_put_((at, index), value, accumulate=True)

    @property
    def simple(self) -> bool:
        """Whether the Triton kernel can draw this world: gates are independent, no code needs
        rejection sampling, and a row of D numbers fits into registers.
        """
        c = self.config
        rejects = c.n_blocks > 0 and c.law == "generalised_normal"
        return not (self.copula or c.n_trees or rejects) and c.d_model <= WIDEST

    def keys(self, stream: str, seeds: tuple[int, ...]) -> Tensor:
        """The random word of each data seed, [S] int64; cached."""
        if (stream, seeds) not in self._keys:
            words = np.array([word(stream, seed, *self.own) for seed in seeds], dtype=np.uint64)
            self._keys[stream, seeds] = torch.from_numpy(words.view(np.int64)).to(self.bias.device)
        return self._keys[stream, seeds]

    def _with_bias_and_noise(self, x: Tensor, g: torch.Generator) -> Tensor:
        """Add the bias and the noise of the world to `x`, in place."""
        c = self.config
        if c.bias:
            x += self.bias
        if c.noise:
            x += c.noise * torch.randn(x.shape, generator=g, device=g.device)
        return x

    def fire(
        self, row: Tensor, index: Tensor, size: int, g: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All singles that fire: (row, index, magnitude), sorted by row.

        `row` and `index` are the singles that fire independently. Correlated features and children
        in trees are added.
        """
        c = self.config
        row, index, source = self.dependent(row, index, size, g)
        value = draw(c.magnitude, len(index), self.scale[index], self.sd[index], g)
        if c.tree_scaling:
            start = len(index) - sum(map(len, source))
            for above in source:
                mean = MEANS[c.magnitude] * self.scale[index[above]]
                value[start : start + len(above)] *= value[above] / mean
                start += len(above)
        if self.copula or c.n_trees:
            row, order = row.sort(stable=True)
            index, value = index[order], value[order]
        return row, index, value

    def dependent(
        self, row: Tensor, index: Tensor, size: int, g: torch.Generator
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Append correlated features that fire, and then the children (`trees.descend`)."""

        def candidate(at: Tensor, child: Tensor) -> Tensor:
            if self.copula:
                return self.copula.under(shared, at, child, g)
            return torch.rand(child.shape, generator=g, device=g.device) < self.q[child]

        if self.copula:
            shared = self.copula.shared(size, g)
            more_rows, more = self.copula.fired(shared, g)
            row, index = torch.cat([row, more_rows]), torch.cat([index, more])
        if not self.config.n_trees:
            return row, index, []
        return descend(self.config, row, index, candidate, g)


def _probabilities(world: Planted, isolated: Array) -> Array:
    """Firing probability of every gate, in the order of `Sampler`, given those of `isolated`."""
    c, m = world.config, world.atoms.shape[1]
    # atoms are independent; a block is active (one atom or more fires) with probability block_p
    atom_p = 1 - (1 - c.block_p) ** (1 / m) if m else 0.0
    blocks = np.full(c.n_blocks * m, atom_p) if m else np.full(c.n_block_gates, c.block_p)
    return np.concatenate([isolated, blocks, np.full(c.n_circles, c.circle_p)])


def _sum_codes(axes: Tensor, index: Tensor, code: Tensor, row: Tensor, size: int) -> Tensor:
    """Sum of codes [n, R], each along the R axes of its block `index`: [size, D]."""
    r = code.shape[1]
    axis = index[:, None] * r + torch.arange(r, device=index.device)
    return _sum_rows(axes, axis.ravel(), code.ravel(), row.repeat_interleave(r), size)


def _sum_rows(table: Tensor, index: Tensor, weight: Tensor, row: Tensor, size: int) -> Tensor:
    """out[b] = sum of weight_j table[index_j] over the entries j with row_j = b; row is sorted."""
    start = torch.searchsorted(row, torch.arange(size, device=row.device))
    if len(table) == 0:
        return torch.zeros(size, table.shape[1], device=table.device)
    return embedding_bag(index, table, start, mode="sum", per_sample_weights=weight)
