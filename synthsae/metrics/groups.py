"""Finding subspaces without the truth: groups of latents that share one, and its dimension.

Within one seed the latents of a block repel and look unrelated. Pooled over seeds they do not: in
a common R-dimensional subspace squared cosines average 1/R, elsewhere 1/D. So: pool the live
directions of all seeds, join those whose |cosine| chance does not explain, and take the connected
components; thresholding-based subspace clustering (Heckel and Boelcskei 2015) with the threshold
set by the error rate. A latent that straddles two blocks joins them: components are cut there
(`cut`). Blocks of high rank come in pieces: each piece grows to the whole (`settle`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from scipy.special import betainccinv, betaincinv

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.geometry import unit
from synthsae.metrics.subspace import MEMBER, learned_span, overlap

BLOCK = 1024  # rows of the cosine matrix held at a time
ALIKE = 2.0  # mean squared cosine across a cut, in units of chance, below which it is made
GROW = 0.25  # share of a latent's energy with which it counts in a growing subspace
TRACY_WIDOM = 0.9793  # 95% point of the law of Tracy and Widom for real matrices


class Group(NamedTuple):
    """Latents that share a subspace: their `rows`, its `rank` and a basis `span` [D, rank]."""

    rows: Index
    rank: int
    span: Array


def chance_cosine(n: int, d: int, alpha: float = 0.01) -> float:
    """The |cosine| that none of the pairs of n random directions in R^d reaches, but for `alpha`.

    Bonferroni over n (n - 1) / 2 pairs: c with I_{1 - c^2}((d - 1) / 2, 1/2) = alpha / pairs.
    """
    n, d = checks.count("n", n, 2), checks.count("d", d, 2)
    checks.between("alpha", alpha, 0, 1)
    pairs = n * (n - 1) / 2
    return float(np.sqrt(1 - betaincinv((d - 1) / 2, 0.5, alpha / pairs)))


def components(directions: ArrayLike, threshold: float) -> Index:
    """Connected components of the graph that joins directions with |cosine| >= threshold.

    [n, D] -> labels [n], 0 for the largest component. Raises ValueError for a threshold outside
    [0, 1] and for values that are not finite.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    checks.between("threshold", threshold, 0, 1)
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


def estimate_rank(directions: ArrayLike) -> int:
    """How many squared singular values of unit rows [n, D] exceed the largest of random ones.

    The bar is the 95% point for n random rows: ((sqrt n + sqrt D)^2 + .98 (sqrt n + sqrt D)
    (1 / sqrt n + 1 / sqrt D)^(1/3)) / D (Johnstone 2001; Gaussian rows, of norm near 1).
    Conservative: it needs about n / R > (1 + sqrt(n / D))^2, so pool seeds.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    if not d.size:
        return 0
    a, b = np.sqrt(d.shape)
    bar = ((a + b) ** 2 + TRACY_WIDOM * (a + b) * (1 / a + 1 / b) ** (1 / 3)) / d.shape[1]
    return int(np.sum(np.linalg.svd(d, compute_uv=False) ** 2 > bar))


def cut(directions: ArrayLike, threshold: float) -> list[Index]:
    """`components` of directions [n, D], cut wherever two sides are not alike: rows of each part.

    The sides are those of least conductance along the second eigenvector of the graph of squared
    cosines at |cosine| >= `threshold` (Shi and Malik 2000). They are alike, and stay together,
    where squared cosines across average twice 1/D, what random directions have, or more.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    label = components(d, threshold)
    parts = []
    for g in range(label.max(initial=-1) + 1):
        rows = np.flatnonzero(label == g)
        side = _side(d[rows], threshold)
        if side is None:
            parts.append(rows)
            continue
        for half in (rows[side], rows[~side]):
            parts += [half[part] for part in cut(d[half], threshold)]
    return parts


def settle(directions: ArrayLike, rows: Index, alpha: float = 0.01) -> Group:
    """The group that `rows` of directions [n, D] grow to: those with energy in their own span.

    In turn, the rank and the span of the rows, and as rows all directions with energy in the span
    of `GROW` and of more than chance gives any of n (Bonferroni at `alpha`), until nothing changes.
    The group's rows are those with half of their energy or more in it.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    n, width = d.shape
    seen = set()
    while rows.tobytes() not in seen:  # it may come to swing between two
        seen.add(rows.tobytes())
        rank = max(1, estimate_rank(d[rows]))
        span = learned_span(d[rows], rank)
        energy = np.sum((d @ span) ** 2, axis=1)
        chance = betainccinv(rank / 2, (width - rank) / 2, alpha / n) if rank < width else 1.0
        rows = np.flatnonzero(energy >= min(MEMBER, max(GROW, chance)))
    return Group(np.flatnonzero(energy >= MEMBER), span.shape[1], span)


def groups(directions: ArrayLike, alpha: float = 0.01, least: int = 2) -> list[Group]:
    """Groups of at least `least` directions that share a subspace, largest first; from [n, D].

    The parts of `cut` at the `chance_cosine` of n directions, each as it comes to `settle`; of two
    that overlap by more than half the larger is kept. Random directions give one group or more
    with probability <= alpha.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    checks.count("least", least, 2)
    if len(d) < least:
        return []
    threshold = chance_cosine(len(d), d.shape[1], alpha)
    parts = [rows for rows in cut(d, threshold) if len(rows) >= least]
    found = [settle(d, rows, alpha) for rows in parts]
    kept: list[Group] = []
    for group in sorted(found, key=lambda g: len(g.rows), reverse=True):
        if len(group.rows) >= least and not any(_same(group, other) for other in kept):
            kept.append(group)
    return kept


def _side(d: Array, threshold: float) -> NDArray[np.bool_] | None:
    """One side of a component [n, D] whose two sides are not alike, [n]; else None."""
    if len(d) < 4:
        return None
    side = _least_conductance(_graph(d, threshold))
    a, b = d[side], d[~side]
    across = np.sum((a.T @ a) * (b.T @ b)) / (len(a) * len(b))
    return side if across * d.shape[1] < ALIKE else None


def _graph(d: Array, threshold: float) -> coo_array:
    """Squared cosines of unit rows at |cosine| >= `threshold`, 0 elsewhere, [n, n] sparse."""
    parts = []
    for start in range(0, len(d), BLOCK):
        c = d[start : start + BLOCK] @ d.T
        i, j = np.nonzero(np.abs(c) >= threshold)
        parts.append((c[i, j] ** 2, i + start, j))
    weight, i, j = (np.concatenate(x) for x in zip(*parts, strict=True))
    return coo_array((weight, (i, j)), shape=(len(d), len(d)))


def _least_conductance(graph: coo_array) -> NDArray[np.bool_]:
    """One side of the cut of least conductance along the second eigenvector, [n]."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    i, j = graph.coords
    scaled = graph.data / np.sqrt(degree[i] * degree[j])
    matrix = coo_array((scaled, (i, j)), shape=graph.shape).tocsr()
    values, vectors = eigsh(matrix, k=2, which="LA", v0=np.cos(np.arange(len(degree))))
    second = vectors[:, values.argmin()] / np.sqrt(degree)
    place = np.argsort(np.argsort(second, kind="stable"))
    # an edge is cut by every prefix that holds one of its ends
    low, high = np.minimum(place[i], place[j]), np.maximum(place[i], place[j])
    steps = np.bincount(low, graph.data, len(degree)) - np.bincount(high, graph.data, len(degree))
    volume = np.cumsum(degree[np.argsort(place)])
    smaller = np.minimum(volume, volume[-1] - volume)[:-1]
    return place <= np.argmin(np.cumsum(steps)[:-1] / smaller)


def _same(a: Group, b: Group) -> bool:
    """Do two spans overlap by more than half of the larger one?"""
    shared = overlap(a.span, b.span) * b.rank
    return shared > max(a.rank, b.rank) / 2
