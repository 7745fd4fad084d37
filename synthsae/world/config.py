"""Configuration of a planted world: its fields, their checks and the firing probabilities."""

from dataclasses import dataclass, field
from sys import maxsize
from typing import Any

import numpy as np

from synthsae.arrays import Array
from synthsae.checks import ConfigError, one_of, typed, within
from synthsae.world.magnitudes import FAMILIES

LEAST_BETA = 1 / 16
"""Smallest exponent of the generalised-normal law whose powers stay in the range of float32."""
LAWS = ("isotropic", "gaussian", "sparse", "generalised_normal")
ELLIPTICAL = ("isotropic", "gaussian")
"""Laws whose codes are uniform on spheres, or on ellipsoids where `spectrum` is above 1."""
MOST = 2**24
"""Largest number of isolated features: directions and probabilities must fit in memory."""
FULL = 4096
"""Largest number of features F with a full correlation matrix, whose factor takes F^2 numbers and
O(F^3) operations."""

DENSEST = 1e6
"""Largest ratio of densities of a phase that float32 resolves."""

FLATTEST = 1e-6
"""Smallest Zipf exponent that spreads a range of firing rates by more than rounding."""


def _field(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class WorldConfig:
    """What is planted. `docs/science.md`, section 2, defines the laws; symbols are D, F, G, R."""

    d_model: int = _field(128, "dimension D of an activation")
    n_isolated: int = _field(32, "isolated features F")
    isolated_p: float = _field(
        0.05, "firing probability of an isolated feature (mean of them), unless there is a range"
    )
    zipf: float = _field(0.0, "isolated feature i fires in proportion to i^-zipf; 0 is constant")
    isolated_p_max: float | None = _field(
        None, "range: probability of the first isolated feature; i^-zipf is mapped onto the range"
    )
    isolated_p_min: float | None = _field(
        None, "range: probability of the last isolated feature (none: no range)"
    )
    correlation: float = _field(
        0.0,
        "Gaussian copula of isolated features: standard deviation of the correlations between "
        "their normals (costs time in proportion to samples x features)",
    )
    correlation_rank: int = _field(0, "shared factors of the copula (0: a full matrix)")
    correlation_groups: int = _field(
        0,
        "groups of isolated features, in order and as equal as they can be: normals of one group "
        "have exactly this correlation, others none (0: correlations are random)",
    )
    n_trees: int = _field(
        0, "trees over the first isolated features, roots first: a child fires below its parent"
    )
    tree_branching: int = _field(4, "children of a node that is no leaf")
    tree_depth: int = _field(3, "levels below the root")
    exclusive: bool = _field(True, "of the children of a node one fires at most")
    tree_scaling: bool = _field(
        False, "a child's magnitude is multiplied by its parent's over the parent's mean"
    )
    leaning: bool = _field(
        False, "isolated features may lean into blocks (else: in their complement)"
    )
    incoherence_steps: int | None = _field(
        None,
        "steps that spread independent random isolated features (none: a tight frame at once)",
    )
    n_blocks: int = _field(4, "blocks G, mutually orthogonal unless block_angle says otherwise")
    block_angle: float = _field(
        90.0,
        "degrees between the first and the second block, the third and the fourth, and so on: axis "
        "i of one meets axis i of the other at this angle, so all R principal angles are equal; "
        "other pairs are orthogonal, and so is the last of an odd number",
    )
    rank: int = _field(4, "rank R of a block")
    law: str = _field("isotropic", f"law of a block's code: {', '.join(LAWS)}")
    block_p: float = _field(0.15, "probability that a block is active, under every law")
    blocks_per_gate: int = _field(
        1,
        "consecutive blocks that one gate opens: they are active in the same samples, with codes "
        "of their own",
    )
    block_scale: float = _field(1.0, "factor on the codes of blocks, their atoms and circles")
    spectrum: float = _field(
        1.0,
        "isotropic and gaussian law: largest over smallest variance along a block's axes; those in "
        "between are geometric, their mean is that of equal variances",
    )
    n_atoms: int | None = _field(None, "sparse law: atoms per block, rank or more (none: rank)")
    beta: float = _field(1.0, "generalised_normal law: exponent (1 Laplace, 2 Gaussian)")
    n_circles: int = _field(
        0, "circles: a phase in a plane each, orthogonal to blocks and each other"
    )
    circle_p: float = _field(0.05, "probability that a circle is active")
    circle_arc: float = _field(1.0, "share of the circle that its phases cover")
    circle_density: float = _field(
        1.0,
        "density of phases at the start of the arc over that at its end, exponential in between; "
        "1 is uniform",
    )
    magnitude: str = _field(
        "half_normal",
        "law of isolated features, sparse atoms and the radius of circles and isotropic codes, "
        f"mean square 1 at scale 1: {', '.join(FAMILIES)} (normal: the mean is the scale)",
    )
    scale_first: float = _field(1.0, "scale of the first isolated feature's magnitude")
    scale_last: float = _field(1.0, "scale of the last one's; linear between them")
    magnitude_sd: float = _field(0.0, "normal magnitudes: standard deviation")
    magnitude_sd_spread: float = _field(
        0.0, "normal magnitudes: isolated feature i has |N(magnitude_sd, spread^2)| of its own"
    )
    bias: float = _field(0.0, "norm of a constant vector, orthogonal to blocks unless leaning")
    noise: float = _field(0.0, "standard deviation of the noise on each coordinate")

    def __post_init__(self) -> None:
        typed("world.", self)
        within("world.d_model", self.d_model, 1)
        within("world.n_isolated", self.n_isolated, 0, MOST)
        within("world.isolated_p", self.isolated_p, 0, 1)
        within("world.zipf", self.zipf, 0)
        within("world.n_blocks", self.n_blocks, 0)
        within("world.rank", self.rank, 1, self.d_model)
        one_of("world.law", self.law, LAWS)
        within("world.block_p", self.block_p, 0, 1)
        within("world.block_scale", self.block_scale, 0, strict=True)
        within("world.spectrum", self.spectrum, 1)
        if self.spectrum > 1 and self.law not in ELLIPTICAL:
            allowed = f"1 where world.law is {self.law}"
            raise ConfigError("world.spectrum", self.spectrum, allowed)
        within("world.n_atoms", self.n_atoms, self.rank)
        if not self.beta >= LEAST_BETA:
            allowed = f"{LEAST_BETA} and above (inf is the uniform law)"
            raise ConfigError("world.beta", self.beta, allowed)
        within("world.n_circles", self.n_circles, 0)
        within("world.circle_p", self.circle_p, 0, 1)
        within("world.circle_arc", self.circle_arc, 0, 1, strict=True)
        within("world.circle_density", self.circle_density, 1, DENSEST)
        one_of("world.magnitude", self.magnitude, FAMILIES)
        within("world.scale_first", self.scale_first, 0, strict=True)
        within("world.scale_last", self.scale_last, 0, strict=True)
        within("world.magnitude_sd", self.magnitude_sd, 0)
        within("world.magnitude_sd_spread", self.magnitude_sd_spread, 0)
        within("world.incoherence_steps", self.incoherence_steps, 0)
        within("world.bias", self.bias, 0)
        within("world.noise", self.noise, 0)
        if self.n_isolated + self.n_blocks + self.n_circles == 0:
            raise ConfigError("world.n_isolated", 0, "1 or more where world.n_blocks is 0")
        self._check_dimensions()
        self._check_joint_blocks()
        self._check_correlation()
        self._check_trees()
        self._check_firing()

    def _check_dimensions(self) -> None:
        """Refuse blocks and circles that do not fit into D dimensions.

        Blocks that meet at an angle span as many dimensions as orthogonal ones. Unless features are
        `leaning`, isolated features or the bias need one more dimension.
        """
        beside = "the isolated features" if self.n_isolated else "world.bias" if self.bias else ""
        beside = f" beside {beside}" if beside and not self.leaning else ""
        free = self.d_model - bool(beside)
        if self.n_blocks * self.rank > free:
            raise ConfigError(
                "world.n_blocks",
                self.n_blocks,
                f"0 to {free // self.rank}, blocks of rank {self.rank} that fit "
                f"world.d_model {self.d_model}{beside}",
            )
        free -= self.n_blocks * self.rank
        if 2 * self.n_circles > free:
            raise ConfigError(
                "world.n_circles",
                self.n_circles,
                f"0 to {free // 2}, planes that fit world.d_model {self.d_model} beside the blocks"
                + beside.replace(" beside", " and"),
            )

    def _check_joint_blocks(self) -> None:
        """Refuse angles and gates of several blocks where there are too few or the law has none."""
        within("world.block_angle", self.block_angle, 0, 90, strict=True)
        if self.block_angle < 90 and self.n_blocks < 2:
            allowed = "90 where world.n_blocks is below 2"
            raise ConfigError("world.block_angle", self.block_angle, allowed)
        within("world.blocks_per_gate", self.blocks_per_gate, 1)
        if self.blocks_per_gate == 1:
            return
        if self.law == "sparse" or not self.n_blocks:  # a sparse block has a gate for each atom
            allowed = "1 where world.law is sparse, and where world.n_blocks is 0"
            raise ConfigError("world.blocks_per_gate", self.blocks_per_gate, allowed)
        if self.n_blocks % self.blocks_per_gate:
            allowed = f"a number that divides world.n_blocks {self.n_blocks}"
            raise ConfigError("world.blocks_per_gate", self.blocks_per_gate, allowed)

    def _check_correlation(self) -> None:
        rank, n = self.correlation_rank, self.n_isolated
        within("world.correlation", self.correlation, 0, 1)
        within("world.correlation_rank", rank, 0)
        within("world.correlation_groups", self.correlation_groups, 0, n)
        if self.correlation_groups:
            if rank:
                raise ConfigError(
                    "world.correlation_rank", rank, "0 where world.correlation_groups is set"
                )
            return
        if rank and self.correlation**2 * rank > 1:
            raise ConfigError(
                "world.correlation",
                self.correlation,
                f"0 or more, at most {rank**-0.5:.3g} with world.correlation_rank {rank}",
            )
        if self.correlation and not rank and n > FULL:
            raise ConfigError(
                "world.correlation_rank", 0, f"1 or more where world.n_isolated is above {FULL}"
            )

    def _check_trees(self) -> None:
        within("world.n_trees", self.n_trees, 0)
        within("world.tree_branching", self.tree_branching, 1)
        within("world.tree_depth", self.tree_depth, 1)
        if self.n_tree_nodes > self.n_isolated:
            raise ConfigError(
                "world.n_trees",
                self.n_trees,
                f"0 to {self.n_isolated * self.n_trees // self.n_tree_nodes}, trees of "
                f"{self.n_tree_nodes // self.n_trees} features that fit world.n_isolated "
                f"{self.n_isolated}",
            )

    def _check_firing(self) -> None:
        low, high = self.isolated_p_min, self.isolated_p_max
        within("world.isolated_p_max", high, 0, 1)
        if (low is None) != (high is None):
            raise ConfigError(
                "world.isolated_p_min", low, "a number with world.isolated_p_max, none without it"
            )
        if high is not None:
            within("world.isolated_p_min", low, 0, high)
            if self.zipf < FLATTEST:
                allowed = f"{FLATTEST:g} or more where world.isolated_p_max is set"
                raise ConfigError("world.zipf", self.zipf, allowed)
        elif self.zipf and self.n_isolated and self.firing_probabilities()[0] > 1:
            raise ConfigError(
                "world.zipf",
                self.zipf,
                "such that the most frequent feature's probability is 1 at most",
            )

    @property
    def n_tree_nodes(self) -> int:
        """Number of isolated features in trees; these are the first ones."""
        if self.tree_branching == 1:
            return self.n_trees * (self.tree_depth + 1)
        size = 1
        for _ in range(self.tree_depth):
            size = size * self.tree_branching + 1
            if size > maxsize:  # more features than any world holds
                break
        return self.n_trees * size

    @property
    def n_block_gates(self) -> int:
        """Number of gates that open a whole block or several; 0 under the sparse law."""
        return 0 if self.law == "sparse" else self.n_blocks // self.blocks_per_gate

    def firing_probabilities(self) -> Array:
        """Firing probability of each isolated feature, most frequent first, [F].

        Exact for features outside trees; a target for those in trees (`trees.candidates`).
        """
        weight = np.arange(1.0, self.n_isolated + 1) ** -self.zipf
        low, high = self.isolated_p_min, self.isolated_p_max
        if low is None or high is None:
            return self.isolated_p * self.n_isolated * weight / weight.sum()
        if self.n_isolated < 2:
            return np.full(self.n_isolated, high)
        return low + (high - low) * (weight - weight[-1]) / (1 - weight[-1])

    def block_variances(self) -> Array:
        """Variance of a block's code along each of its axes over that of equal variances, [R].

        From the largest down, geometric, with a mean of 1 and a largest over smallest of
        `spectrum`.
        """
        v = np.geomspace(1, 1 / self.spectrum, self.rank)
        return v / v.mean()
