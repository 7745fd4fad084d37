"""Pools of latents of several seeds: near-duplicates, and what is found in a pool.

Greedy selection by firing rate is ours: Gerasimov et al. (arXiv 2606.12138) do not publish their
recipe in detail.
"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Mask
from synthsae.definitions import DEFAULTS
from synthsae.metrics.latent import cosines
from synthsae.metrics.reappearance import BLOCK, ROUNDING, seed_pairs

DUPLICATE = DEFAULTS.duplicate
"""Signed cosine from which two decoder directions are near-duplicates."""


def distinct(directions: ArrayLike, rates: ArrayLike, threshold: float = DUPLICATE) -> Mask:
    """Which rows are kept when near-duplicates are dropped, bool [M].

    Greedy: in the order of falling firing rate, a row is kept if its signed cosine with each row
    kept before is below `threshold`. Rows of equal rate are ordered by their coordinates, so the
    result does not depend on the order of the rows.

    Args:
        directions: decoder directions, [M, D].
        rates: firing rates, [M].
        threshold: signed cosine from which two rows are near-duplicates.
    """
    d = checks.array("directions", directions, "[M, D]")
    r = checks.array("rates", rates, "[M]")
    checks.same_shape("rates", r.shape, "directions' rows", d.shape[:1])
    threshold = checks.between("threshold", threshold, -1, 1) - ROUNDING
    order = np.lexsort((*d.T, -r))
    kept = order[:0]
    for start in range(0, len(order), BLOCK):
        some = order[start : start + BLOCK]
        some = some[~(cosines(d[some], d[kept]) >= threshold).any(axis=1)]
        near = cosines(d[some], d[some]) >= threshold
        chosen = np.zeros(len(some), dtype=bool)
        for i in range(len(some)):
            chosen[i] = not near[i, chosen].any()
        kept = np.append(kept, some[chosen])
    out = np.zeros(len(d), dtype=bool)
    out[kept] = True
    return out


def any_drawn(marked: ArrayLike, total: int, n: int) -> Array:
    """Probability that n of `total` items, drawn without replacement, include a marked one, [...].

    1 - C(total - marked, n) / C(total, n) for `marked` [...] items. If `marked` of `total` seeds
    have a counterpart of a latent, this is the share of pools of n seeds that have one. It is an
    unbiased estimate of 1 - (1 - p)^n, which the formula with p_hat = marked / total
    underestimates.
    """
    total = checks.count("total", total)
    x = checks.in_range("marked", marked, 0, total)
    n = int(checks.between("n", checks.count("n", n), 1, total))
    drawn = np.arange(n)
    missed = np.maximum(total - x[..., None] - drawn, 0) / (total - drawn)
    return 1 - missed.prod(axis=-1)


def found_in_pools(hits: ArrayLike, n: int) -> Array:
    """Share of the pools of n other seeds in which a latent is found, [S, M]; NaN for dead latents.

    All pools of n of the S - 1 other seeds count, without dropping duplicates (`any_drawn`). n = 1
    gives p_hat.

    Args:
        hits: result of `reappearance.found`, bool [S, S, M].
        n: number of seeds of a pool, 1 to S - 1.
    """
    h = seed_pairs("hits", hits)
    alive = np.diagonal(h).T
    return np.where(alive, any_drawn(h.sum(axis=1) - alive, len(h) - 1, n), np.nan)
