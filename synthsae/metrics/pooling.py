"""Latents of many seeds in one pool: which are not duplicates, and what is found in a pool.

Greedy selection by firing rate is ours: the recipe of Gerasimov et al. (arXiv 2606.12138) is not
published in detail.
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
    """The rows of `directions` [M, D] that are kept once near-duplicates are dropped: bool [M].

    Greedy: by falling firing rate (`rates` [M]), a row is kept if its signed cosine with every row
    kept before is below `threshold`. Equal rates go by their coordinates, so which directions are
    kept does not depend on the order of the rows. Raises ValueError for shapes that do not fit,
    values that are not finite, a threshold outside [-1, 1].
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
    """Probability that `n` of `total`, drawn without replacement, hold one of `marked` [...].

    1 - C(total - marked, n) / C(total, n), elementwise. Where `marked` of `total` seeds have
    something, it is the mean over all pools of n of them, and unbiased for 1 - (1 - p)^n, which
    p_hat = marked / total put into that formula falls short of. Raises ValueError for `marked`
    outside 0..total and `n` outside 1..total.
    """
    total = checks.count("total", total)
    x = checks.in_range("marked", marked, 0, total)
    n = int(checks.between("n", checks.count("n", n), 1, total))
    drawn = np.arange(n)
    missed = np.maximum(total - x[..., None] - drawn, 0) / (total - drawn)
    return 1 - missed.prod(axis=-1)


def found_in_pools(hits: ArrayLike, n: int) -> Array:
    """Share of the pools of `n` other seeds in which a latent is found, [S, S, M] -> [S, M].

    `hits[s, t, i]` is `reappearance.found`; all pools of n of the S - 1 others count (`any_drawn`),
    and nothing in them is dropped. `n` = 1 gives p_hat. NaN for dead latents. Raises ValueError for
    `n` outside 1..S - 1.
    """
    h = seed_pairs("hits", hits)
    alive = np.diagonal(h).T
    return np.where(alive, any_drawn(h.sum(axis=1) - alive, len(h) - 1, n), np.nan)
