"""Worlds: activations whose features are planted, so that recovery can be scored against the truth.

A sample is a sparse sum of planted directions plus noise,

    x = sum_i a_i f_i  +  sum_g U_g c_g  +  noise * N(0, I_D),

where an isolated feature f_i fires on its own and a block g fires a code c_g in its subspace U_g.
A world is an activation source: it has `d_model` and yields batches [B, D].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from synthsae.checks import ConfigError, one_of, within
from synthsae.geometry import Array, haar, tight_frame
from synthsae.rng import numpy_generator, torch_generator

LAWS = ("isotropic", "gaussian", "sparse", "generalised_normal")

MAGNITUDES: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "constant": lambda n, g: torch.ones(n, device=g.device),
    "uniform": lambda n, g: torch.rand(n, generator=g, device=g.device) * 3**0.5,
    "half_normal": lambda n, g: torch.randn(n, generator=g, device=g.device).abs_(),
    "exponential": lambda n, g: torch.empty(n, device=g.device).exponential_(generator=g) / 2**0.5,
}
"""Laws of a positive magnitude; each has mean square 1."""


@dataclass(frozen=True)
class WorldConfig:
    """What is planted. `science.md` section 2 defines the laws; symbols are D, F, G, R."""

    d_model: int = field(default=128, metadata={"help": "dimension D of an activation"})
    n_isolated: int = field(default=32, metadata={"help": "isolated features F"})
    isolated_p: float = field(
        default=0.05, metadata={"help": "firing probability of an isolated feature (mean of them)"}
    )
    zipf: float = field(
        default=0.0,
        metadata={"help": "isolated feature i fires in proportion to i^-zipf; 0 is constant"},
    )
    leaning: bool = field(
        default=False,
        metadata={"help": "isolated features may lean into blocks (else: in their complement)"},
    )
    n_blocks: int = field(default=4, metadata={"help": "blocks G, mutually orthogonal"})
    rank: int = field(default=4, metadata={"help": "rank R of a block"})
    law: str = field(
        default="isotropic", metadata={"help": f"law of a block's code: {', '.join(LAWS)}"}
    )
    block_p: float = field(
        default=0.15, metadata={"help": "probability that a block is active, under every law"}
    )
    n_atoms: int | None = field(
        default=None, metadata={"help": "sparse law: atoms per block, rank or more (none: rank)"}
    )
    beta: float = field(
        default=1.0, metadata={"help": "generalised_normal law: exponent (1 Laplace, 2 Gaussian)"}
    )
    magnitude: str = field(
        default="half_normal",
        metadata={
            "help": "law of isolated features, sparse atoms and the isotropic radius, mean square "
            f"1: {', '.join(MAGNITUDES)}"
        },
    )
    noise: float = field(
        default=0.0, metadata={"help": "standard deviation of the noise on each coordinate"}
    )

    def __post_init__(self) -> None:
        within("world.d_model", self.d_model, 1)
        within("world.n_isolated", self.n_isolated, 0)
        within("world.isolated_p", self.isolated_p, 0, 1)
        within("world.zipf", self.zipf, 0)
        within("world.n_blocks", self.n_blocks, 0)
        within("world.rank", self.rank, 1, self.d_model)
        one_of("world.law", self.law, LAWS)
        within("world.block_p", self.block_p, 0, 1)
        within("world.n_atoms", self.n_atoms, self.rank)
        if not self.beta > 0:
            raise ConfigError("world.beta", self.beta, "above 0 (inf is the uniform law)")
        one_of("world.magnitude", self.magnitude, MAGNITUDES)
        within("world.noise", self.noise, 0)
        if self.n_isolated + self.n_blocks == 0:
            raise ConfigError("world.n_isolated", 0, "1 or more where world.n_blocks is 0")
        self._check_room()
        if self.n_isolated and self.firing_probabilities()[0] > 1:
            raise ConfigError(
                "world.zipf",
                self.zipf,
                "such that the most frequent feature's probability is 1 at most",
            )

    def _check_room(self) -> None:
        """Blocks are mutually orthogonal, and isolated features need a dimension beside them."""
        needs_complement = self.n_isolated > 0 and not self.leaning
        room = self.d_model - needs_complement
        if self.n_blocks * self.rank > room:
            beside = " beside the isolated features" if needs_complement else ""
            raise ConfigError(
                "world.n_blocks",
                self.n_blocks,
                f"0 to {room // self.rank}, blocks of rank {self.rank} that fit "
                f"world.d_model {self.d_model}{beside}",
            )

    def firing_probabilities(self) -> Array:
        """Firing probability of each isolated feature, most frequent first, [F]."""
        weight = np.arange(1.0, self.n_isolated + 1) ** -self.zipf
        return self.isolated_p * self.n_isolated * weight / weight.sum()


class World:
    """Planted truth and a counter-based sampler of it.

    Attributes:
        isolated: directions of the isolated features, [F, D].
        bases: orthonormal basis of each block's subspace, [G, D, R].
        atoms: directions of the sparse law's features, [G, m, D]; m = 0 under the other laws.
    """

    def __init__(self, config: WorldConfig, isolated: Array, bases: Array, atoms: Array):
        self.config, self.isolated, self.bases, self.atoms = config, isolated, bases, atoms
        self._tables: dict[torch.device, _Tables] = {}

    @classmethod
    def plant(cls, config: WorldConfig, *, seed: int) -> "World":
        """Draw the planted directions of `config` from the `world` stream of `seed`.

        Blocks are mutually orthogonal. Isolated features, and the atoms inside a sparse block, are
        orthonormal where they fit and a tight frame where they do not (`geometry.tight_frame`).
        """
        c, rng = config, numpy_generator("world", seed)
        spent = c.n_blocks * c.rank
        axes = haar(c.d_model, rng)
        bases = axes[:, :spent].reshape(c.d_model, c.n_blocks, c.rank).transpose(1, 0, 2)
        room = axes if c.leaning else axes[:, spent:]
        isolated = np.zeros((0, c.d_model))
        if c.n_isolated:
            isolated = tight_frame(c.n_isolated, room.shape[1], rng) @ room.T
        m = (c.n_atoms or c.rank) if c.law == "sparse" else 0
        atoms = np.zeros((c.n_blocks, m, c.d_model))
        for g in range(c.n_blocks if m else 0):
            atoms[g] = tight_frame(m, c.rank, rng) @ bases[g].T
        return cls(config, isolated, np.ascontiguousarray(bases), atoms)

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.config.d_model

    @property
    def features(self) -> Array:
        """All planted features: the isolated ones, then the atoms block by block, [F + G m, D]."""
        return np.concatenate([self.isolated, self.atoms.reshape(-1, self.d_model)])

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of the data seed `seed`, [size, D] float32: a function of the arguments alone.

        Equal bits on one type of device, equal in law across types. The cost is that of what fires:
        `size` times the expected number of active directions, not of all directions.
        """
        g = torch_generator(stream, seed, t, device=device)
        if g.device not in self._tables:
            self._tables[g.device] = _Tables(self, g.device)
        table = self._tables[g.device]
        row, gate = table.fired(size, g)
        single = gate < len(table.singles)
        x = table.sum_singles(row[single], gate[single], size, g)
        if not single.all():
            x += table.sum_blocks(row[~single], gate[~single], size, g)
        if self.config.noise:
            x += self.config.noise * torch.randn(x.shape, generator=g, device=g.device)
        return x


class _Tables:
    """A world's directions on one device, and the sampling of what fires.

    A *gate* is what fires as one: an isolated feature or a sparse atom (a single), or a block.
    """

    def __init__(self, world: World, device: torch.device):
        c = self.config = world.config
        dense = c.n_blocks if c.law != "sparse" else 0
        m = world.atoms.shape[1]
        # independent atoms, with the block active (any atom firing) with probability block_p
        atom_p = 1 - (1 - c.block_p) ** (1 / m) if m else 0.0
        p = np.concatenate(
            [c.firing_probabilities(), np.full(c.n_blocks * m, atom_p), np.full(dense, c.block_p)]
        )
        with np.errstate(divide="ignore"):
            rate = np.minimum(-np.log1p(-p), 40.0)  # exp(-40) is below float64's resolution of 1
        self.edges = torch.tensor(np.cumsum(rate), device=device)
        self.total = float(self.edges[-1])
        self.singles = torch.tensor(world.features, dtype=torch.float32, device=device)
        axes = world.bases.transpose(0, 2, 1).reshape(-1, c.d_model)
        self.axes = torch.tensor(axes, dtype=torch.float32, device=device)

    def fired(self, size: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """The (row, gate) pairs that fire among `size` rows, sorted, each once.

        Events of a Poisson process on the line [0, size * total), cut into rows and these into
        gates of length -log(1 - p): a cell holds an event with probability p, independently of the
        others.
        """
        mean = torch.tensor(size * self.total, dtype=torch.float64, device=g.device)
        n = int(torch.poisson(mean, generator=g))
        where = (
            torch.rand(n, generator=g, dtype=torch.float64, device=g.device).mul_(size).sort()[0]
        )
        row = where.long()
        gate = torch.searchsorted(self.edges, (where - row) * self.total, right=True)
        new = torch.ones(n, dtype=torch.bool, device=g.device)
        new[1:] = (row[1:] != row[:-1]) | (gate[1:] != gate[:-1])
        return row[new], gate[new]

    def sum_singles(self, row: Tensor, gate: Tensor, size: int, g: torch.Generator) -> Tensor:
        """Sum of the singles that fire, each with a magnitude of its own, [size, D]."""
        return _sum_rows(
            self.singles, gate, MAGNITUDES[self.config.magnitude](len(gate), g), row, size
        )

    def sum_blocks(self, row: Tensor, gate: Tensor, size: int, g: torch.Generator) -> Tensor:
        """Sum of the blocks that fire, each with a code of its own, [size, D]."""
        r = self.config.rank
        axis = (gate - len(self.singles))[:, None] * r + torch.arange(r, device=gate.device)
        code = self.codes(len(gate), g)
        return _sum_rows(self.axes, axis.ravel(), code.ravel(), row.repeat_interleave(r), size)

    def codes(self, n: int, g: torch.Generator) -> Tensor:
        """`n` codes of the block law in coordinates of the block's basis, [n, R]."""
        c = self.config
        if c.law == "generalised_normal":
            return _generalised_normal(n, c.rank, c.beta, g)
        z = torch.randn(n, c.rank, generator=g, device=g.device)
        if c.law == "gaussian":
            return z
        return normalize(z, dim=1) * MAGNITUDES[c.magnitude](n, g)[:, None]


def _sum_rows(table: Tensor, index: Tensor, weight: Tensor, row: Tensor, size: int) -> Tensor:
    """out[b] = sum of weight_j table[index_j] over the entries j with row_j = b; row is sorted."""
    start = torch.searchsorted(row, torch.arange(size, device=row.device))
    if len(table) == 0:
        return torch.zeros(size, table.shape[1], device=table.device)
    return embedding_bag(index, table, start, mode="sum", per_sample_weights=weight)


def _generalised_normal(n: int, r: int, beta: float, g: torch.Generator) -> Tensor:
    """Independent draws of density ~ exp(-|c / alpha|^beta) with variance 1, [n, r].

    |c / alpha|^beta is Gamma(1 / beta), which is U^beta Gamma(1 + 1 / beta) for a uniform U, and
    alpha = sqrt(Gamma(1 / beta) / Gamma(3 / beta)).
    """
    alpha = 3**0.5 * math.exp((math.lgamma(1 + 1 / beta) - math.lgamma(1 + 3 / beta)) / 2)
    shape = torch.full((n, r), 1 + 1 / beta, device=g.device)
    # torch.distributions.Gamma draws from the same kernel, but only from the global generator
    size = alpha * torch._standard_gamma(shape, generator=g) ** (1 / beta)
    return size * torch.empty(n, r, device=g.device).uniform_(-1, 1, generator=g)
