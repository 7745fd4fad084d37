"""What can be identified of each block, predicted before any training."""

from typing import NamedTuple, Protocol

import numpy as np
from scipy.stats import binom

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, between
from synthsae.definitions import DEFAULTS
from synthsae.theory.bounds import unique_sparsity, welch_bound
from synthsae.theory.chance import chance_found
from synthsae.theory.coverage import coverage_a_priori

IDENTIFIABLE, SUBSPACE, LOST = "latents identifiable", "subspace only", "lost"


class WorldLike(Protocol):
    """The fields of a world's config that the report reads."""

    d_model: int
    n_isolated: int
    isolated_p: float
    leaning: bool
    n_blocks: int
    rank: int
    law: str
    block_p: float
    block_angle: float
    blocks_per_gate: int
    spectrum: float
    n_atoms: int | None
    beta: float


class SAELike(Protocol):
    """The fields of an SAE's config that the report reads; `n_latents` resolved for the world."""

    k: int

    @property
    def size(self) -> int:
        """Latents M."""
        ...

    def for_width(self, d_model: int) -> "SAELike":
        """The config with its size decided for activations of dimension `d_model`."""
        ...


class BlockReport(NamedTuple):
    """The prediction for one block.

    Attributes:
        block: index of the block.
        verdict: `IDENTIFIABLE`, `SUBSPACE` or `LOST`.
        why: the reason, in words.
        latents_left: latents for each block if each isolated feature takes one.
        binding: probability that sparsity binds while the block is active; NaN for a sparse law.
        reappearance: expected mean p_hat; NaN where no law predicts it.
        chance: chance level of p_hat, from `chance_found`.
    """

    block: int
    verdict: str
    why: str
    latents_left: float
    binding: float
    reappearance: float
    chance: float


def identifiability_report(
    world: WorldLike, sae: SAELike, *, n_samples: float = np.inf, theta: float = DEFAULTS.theta
) -> tuple[BlockReport, ...]:
    """For each block: latents identifiable, subspace only, or lost, and why. [G]

    The rules concern the optimum; training may fall short of it.

    - *Lost*: the block is active in fewer samples than it has dimensions, or fewer latents are left
      than needed to reach all of it. R + 1 non-negative atoms positively span R^R (Davis 1954), and
      R atoms span the orthant of a sparse law with m = R.
    - *Subspace only*, with p_hat on the coverage law: O(R)-invariant laws of rank 2 or more
      (isotropic, gaussian, generalised normal with beta = 2). Without a prediction of p_hat: blocks
      with unequal variances, whose latents come back without being features, and any dense law
      where sparsity does not bind, though an encoder, which does not re-solve the code, may prefer
      the axes. Gaussian blocks that share a gate are one block of a higher rank.
    - Generalised normal with beta < 2, where sparsity binds: the axes are the optimum, and are
      identifiable with 2R latents. With beta > 2 other directions are the optimum: latents reappear
      somewhat more often than the law says, and are not the truth.
    - A sparse law is identifiable with a latent for each atom. For m > R this holds in principle
    only:
      atoms overlap, and some merge in training. With fewer latents than atoms, atoms must merge.

    `latents_left` is (M - F) / G, for one latent for each isolated feature. `binding` is the
    probability that, with the block active, k is less than one latent for each dimension of each
    active block and for each active isolated feature. Sparsity binds if it exceeds .05.

    Args:
        world: config of a planted world, or a world with a `.config`.
        sae: config of the SAE.
        n_samples: number of training samples.
        theta: least cosine of a match.
    """
    w: WorldLike = getattr(world, "config", world)
    size = sae.for_width(w.d_model).size
    left = max(0.0, (size - w.n_isolated) / max(w.n_blocks, 1))
    if not n_samples > 0:
        raise ConfigError("n_samples", Shown(f"{n_samples}"), "above 0")
    binding = np.nan if w.law == "sparse" else _binding(w, sae.k)
    active = n_samples * w.block_p if w.block_p else 0.0
    verdict, why, p = _verdict(w, left, binding, active, between("theta", theta, 0, 1))
    if w.leaning and verdict == SUBSPACE:
        why += "; isolated features lean into the block, which lifts p_hat above the law"
    if w.block_angle < 90 and verdict != LOST:
        why += f"; blocks meet at {w.block_angle:g} degrees, for which there is no prediction"
        p = np.nan
    chance = float(chance_found(w.d_model, size, theta))
    return tuple(BlockReport(g, verdict, why, left, binding, p, chance) for g in range(w.n_blocks))


def _verdict(
    w: WorldLike, left: float, binding: float, active: float, theta: float
) -> tuple[str, str, float]:
    """(verdict, why, expected p_hat) of each block of `w`, which is active in `active` samples."""
    sparse = w.law == "sparse"
    atoms = (w.n_atoms or w.rank) if sparse else 2 * w.rank
    needed = w.rank + (atoms > w.rank)
    law = float(coverage_a_priori(w.rank, left, theta))
    if active < w.rank:
        return LOST, f"active in {active:.3g} samples, of {w.rank} dimensions", np.nan
    if left < needed:
        return LOST, f"{left:.3g} latents left, {needed} reach all of rank {w.rank}", np.nan
    if sparse and left < atoms:
        return SUBSPACE, f"{left:.3g} latents left for {atoms} atoms: atoms merge", np.nan
    if sparse:
        mu = float(welch_bound(atoms, w.rank))
        if mu >= theta:
            return (
                SUBSPACE,
                f"coherence at least {mu:.2f}: atoms within theta of each other",
                np.nan,
            )
        if mu == 0:
            return IDENTIFIABLE, f"{atoms} atoms, which may be orthogonal", 1.0
        limit, most = float(unique_sparsity(mu)), f"coherence {mu:.2f} or more"
        return (
            IDENTIFIABLE,
            f"in principle: {atoms} atoms, {most}, codes of {limit:g} unique",
            np.nan,
        )
    beta = w.beta if w.law == "generalised_normal" else 2.0
    if w.rank == 1 and w.blocks_per_gate == 1:
        return IDENTIFIABLE, "rank 1: a direction and its opposite", 1.0
    if w.spectrum > 1:
        why = f"variances differ by {w.spectrum:g}: latents prefer principal axes, no features"
        return SUBSPACE, why, np.nan
    if w.law == "isotropic" and w.blocks_per_gate > 1:
        return SUBSPACE, "blocks behind a gate: their radii decide whether latents mix them", np.nan
    if beta == 2 and (together := w.blocks_per_gate) > 1:
        rank = together * w.rank
        law = float(coverage_a_priori(rank, together * left, theta))
        return SUBSPACE, f"{together} blocks behind a gate are a Gaussian one of rank {rank}", law
    if beta == 2:
        return SUBSPACE, f"the law is invariant under rotations of rank {w.rank}", law
    if binding <= 0.05:
        return (
            SUBSPACE,
            f"sparsity binds on {binding:.2g} of samples: rotations cost little",
            np.nan,
        )
    if beta > 2:
        return SUBSPACE, f"beta {beta:g} > 2: sparse coding leaves the true axes", np.nan
    if left < atoms:
        return SUBSPACE, f"{left:.3g} latents left for {atoms} half-axes", np.nan
    return IDENTIFIABLE, f"beta {beta:g} < 2: the axes are the sparsest code", 1.0


def _binding(w: WorldLike, k: int) -> float:
    """P(R times active blocks + active isolated features > k) while a gate of blocks is open."""
    gates = w.n_blocks // w.blocks_per_gate
    others = np.arange(gates)
    weight: Array = binom.pmf(others, max(gates - 1, 0), w.block_p)
    latents_free = k - w.rank * w.blocks_per_gate * (1 + others)
    return float((weight * binom.sf(latents_free, w.n_isolated, w.isolated_p)).sum())
