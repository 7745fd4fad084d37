"""The two lists of `metrics.consensus`, over the number of seeds and the level, and the truth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from synthsae.arrays import Array, Mask
from synthsae.geometry import unit
from synthsae.metrics.consensus import Consensus, Subspace, consensus
from synthsae.metrics.subspace import overlap
from synthsae.scores.run import Run, labelled

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
SUBSETS = (2, 3, 4, 8, 16)
"""Numbers of seeds; those above the run's are left out."""
REPEATS = 4
"""Disjoint sets of seeds taken of each number, at most."""


def consensus_lists(run: Run) -> xr.Dataset:
    """Lengths of both lists, and in a planted world their wrong entries and their recall.

    By number of seeds and level, summed over disjoint sets of seeds. An identity is right if its
    direction is the same (`Definitions.same`) as a planted feature's: isolated, a sparse atom,
    either end of a block of rank 1. A subspace is right if its overlap with one block reaches
    `Definitions.same`, as a share of the larger of the two ranks.
    """
    found = _found(run)
    grid = ("n_used", "level")
    texts = {"identities": "identifiable latents", "subspaces": "reproducible subspaces"}

    def length(kind: str) -> Array:
        return _total(found, lambda c, a: _listed(c, kind, a).sum())

    counts: dict[str, tuple] = {
        f"{kind}_listed": (grid, length(kind), text) for kind, text in texts.items()
    }
    counts["seed_sets"] = (grid[:1], [len(same) for same in found], "disjoint sets of seeds")
    if run.planted:
        counts |= _against_truth(run, found)
    return labelled(run, **counts).assign_coords(n_used=_numbers(run), level=list(LEVELS))


def _numbers(run: Run) -> list[int]:
    """The `SUBSETS` that the run has enough seeds for."""
    return [n for n in SUBSETS if n <= len(run.seeds)]


def _found(run: Run) -> list[list[Consensus]]:
    """The consensus of every set of seeds: a list for each of `_numbers`."""
    live, found = run.live, []
    for n in _numbers(run):
        sets = [slice(i * n, (i + 1) * n) for i in range(min(REPEATS, len(run.seeds) // n))]
        found.append([consensus(run.directions[s], live[s]) for s in sets])
    return found


def _against_truth(run: Run, found: list[list[Consensus]]) -> dict[str, tuple]:
    """Wrong entries of the lists, and the recall of what is planted."""
    features, grid, right_at = true_features(run), ("n_used", "level"), run.definitions.same
    n = run.config.world.n_isolated
    blocks = list(run.bases) if run.config.world.rank > 1 else []

    def hits(c: Consensus, alpha: float) -> Mask:
        near = unit(c.identities.direction) @ features.T >= right_at
        return near[_listed(c, "identities", alpha)]

    def inside(c: Consensus, alpha: float) -> Mask:
        kept = np.flatnonzero(_listed(c, "subspaces", alpha))
        score = [[alike(c.subspaces[i], u) for u in blocks] for i in kept]
        return np.reshape(score, (len(kept), len(blocks))) >= right_at

    def mean(count: Array) -> Array:
        return count / np.reshape([len(c) for c in found], (-1, *[1] * (count.ndim - 1)))

    def ranks(c: Consensus, alpha: float) -> int:
        (at,) = np.nonzero(_listed(c, "subspaces", alpha))
        true = run.config.world.rank
        right = inside(c, alpha).any(axis=1)
        kept = [c.subspaces[i] for i in at[right]]
        return sum(x.rank_low <= true <= x.rank_high for x in kept)

    each = mean(_total(found, lambda c, a: hits(c, a).any(axis=0)))
    return {
        "identities_wrong": (
            grid,
            _total(found, lambda c, a: (~hits(c, a).any(axis=1)).sum()),
            f"identities without a planted feature at cosine >= {right_at:g}",
        ),
        "subspaces_wrong": (
            grid,
            _total(found, lambda c, a: (~inside(c, a).any(axis=1)).sum()),
            f"subspaces that overlap no block by {right_at:g}",
        ),
        "ranks_covered": (
            grid,
            _total(found, ranks),
            "right subspaces whose interval of the rank holds the planted one",
        ),
        "feature_recall": (
            (*grid, "feature"),
            each[..., :n],
            "share of the sets of seeds that list the isolated feature",
        ),
        "feature_rate": (
            ("feature",),
            run.config.world.firing_probabilities(),
            "firing probability of the isolated feature",
        ),
        "block_recall": (
            (*grid, "block"),
            mean(_total(found, lambda c, a: inside(c, a).any(axis=0)))
            if len(blocks)
            else np.full((len(found), len(LEVELS), len(run.bases)), np.nan),
            "share of the sets of seeds that list the block; NaN at rank 1",
        ),
    }


def true_features(run: Run) -> Array:
    """Planted directions that a latent can be: features, and both ends of blocks of rank 1."""
    ends = run.bases[:, :, 0] if run.config.world.rank == 1 else np.zeros((0, run.d_model))
    return np.concatenate([run.world.features, ends, -ends])


def alike(found: Subspace, basis: Array) -> float:
    """Overlap of a subspace with a block, over the larger of the two ranks."""
    rank = basis.shape[1]
    return overlap(found.span, basis) * rank / max(rank, found.rank)


def _listed(c: Consensus, kind: str, alpha: float) -> Mask:
    """Which candidates are on the list at false discovery rate `alpha`."""
    q = c.identity_q if kind == "identities" else c.subspace_q
    return q <= alpha


def _total(found: list[list[Consensus]], value: Callable[[Consensus, float], Any]) -> Array:
    """Sum of value(consensus, alpha) over the sets of each number of seeds: [n_used, level, ..]."""
    return np.array([[sum(value(c, 1 - b) for c in same) for b in LEVELS] for same in found])
