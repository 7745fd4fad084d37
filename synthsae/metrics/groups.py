"""Finding subspaces without the truth: groups of latents that share one, and its dimension.

Within one seed the latents of a block repel and look unrelated. Pooled over seeds they do not: in
a common R-dimensional subspace squared cosines average 1/R, elsewhere 1/D. So: pool the (unstable,
live) directions of all seeds, join those whose |cosine| chance does not explain, and keep the
connected components; thresholding-based subspace clustering (Heckel and Boelcskei 2015) with the
threshold set by the error rate.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import betaincinv

from synthsae.geometry import unit
from synthsae.metrics import _check
from synthsae.metrics.subspace import learned_span

Array = NDArray[np.float64]
Index = NDArray[np.intp]

BLOCK = 1024  # rows of the cosine matrix held at a time


class Group(NamedTuple):
    """Latents that share a subspace: their `rows`, its `rank` and a basis `span` [D, rank]."""

    rows: Index
    rank: int
    span: Array


def chance_cosine(n: int, d: int, alpha: float = 0.01) -> float:
    """The |cosine| that none of the pairs of n random directions in R^d reaches, but for `alpha`.

    Bonferroni over n (n - 1) / 2 pairs: c with I_{1 - c^2}((d - 1) / 2, 1/2) = alpha / pairs.
    """
    n, d = _check.at_least("n", n, 2), _check.at_least("d", d, 2)
    _check.between("alpha", alpha, 0, 1)
    pairs = n * (n - 1) / 2
    return float(np.sqrt(1 - betaincinv((d - 1) / 2, 0.5, alpha / pairs)))


def components(directions: ArrayLike, threshold: float) -> Index:
    """Connected components of the graph that joins directions with |cosine| >= threshold.

    [n, D] -> labels [n], 0 for the largest component. Raises ValueError for a threshold outside
    [0, 1] and for values that are not finite.
    """
    d = unit(_check.array("directions", directions, "[n, D]"))
    _check.between("threshold", threshold, 0, 1)
    if not len(d):
        return np.zeros(0, dtype=np.intp)
    edges = []
    for start in range(0, len(d), BLOCK):
        rows, cols = np.nonzero(np.abs(d[start : start + BLOCK] @ d.T) >= threshold)
        edges.append(np.stack([rows + start, cols]))
    i, j = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j)), shape=(len(d), len(d)))
    n, label = connected_components(graph, directed=False)
    order = np.argsort(-np.bincount(label, minlength=n), kind="stable")
    return np.argsort(order)[label].astype(np.intp)


def estimate_rank(
    directions: ArrayLike, rng: np.random.Generator, draws: int = 100, level: float = 0.95
) -> int:
    """The leading squared singular values of unit rows [n, D] above those of n random unit rows.

    Horn's (1965) parallel analysis: the i-th one counts while it exceeds the `level` quantile of
    the i-th one of the null. Conservative: it needs n / R > (1 + sqrt(n / D))^2, so pool seeds.
    """
    d = unit(_check.array("directions", directions, "[n, D]"))
    _check.at_least("draws", draws, 1)
    _check.between("level", level, 0, 1)
    if not d.size:
        return 0
    null = unit(rng.standard_normal((draws, *d.shape)))
    bar = np.quantile(np.linalg.svd(null, compute_uv=False), level, axis=0)
    above = np.linalg.svd(d, compute_uv=False) > bar
    return int(np.argmin(above)) if not above.all() else len(above)


def groups(
    directions: ArrayLike,
    rng: np.random.Generator,
    alpha: float = 0.01,
    least: int = 2,
    draws: int = 100,
) -> list[Group]:
    """Groups of at least `least` directions that share a subspace, largest first; from [n, D].

    `components` at the `chance_cosine` of n directions, each with its `estimate_rank` (at least 1)
    and `learned_span`. Random directions give one group or more with probability <= alpha.
    """
    d = _check.array("directions", directions, "[n, D]")
    _check.at_least("least", least, 2)
    if len(d) < least:
        return []
    label = components(d, chance_cosine(len(d), d.shape[1], alpha))
    found = []
    for g in range(label.max() + 1):
        rows = np.flatnonzero(label == g)
        if len(rows) >= least:
            rank = max(1, estimate_rank(d[rows], rng, draws))
            found.append(Group(rows, rank, learned_span(d[rows], rank)))
    return found
