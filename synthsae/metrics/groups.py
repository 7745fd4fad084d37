"""Find subspaces without the planted truth: groups of latents that share one, and its dimension.

The latents of one seed in a block repel each other and look unrelated. Pooled over seeds they do
not: in a common R-dimensional subspace squared cosines average 1/R, elsewhere 1/D. So pool the live
directions of all seeds, join those with a |cosine| above chance, and take connected components.
This is subspace clustering by thresholding (Heckel and Boelcskei 2015), with the threshold set by
an error rate. A latent between two blocks joins them, so `split` divides such components. A block
of high rank falls into several components, so `grow` extends each of them to the whole block.
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
from synthsae.metrics.subspace import MEMBER, learned_span

BLOCK = 1024  # rows of the cosine matrix held at a time
SIMILAR = 2.0  # a split is kept if D times the mean squared cosine between its sides is below
GROW = 0.25  # least energy of a latent that joins a growing subspace
TRACY_WIDOM = 0.9793  # 95% quantile of the Tracy-Widom distribution for real matrices


class Group(NamedTuple):
    """Latents that share a subspace.

    Attributes:
        rows: indices of the latents among the given directions.
        rank: dimension of the subspace.
        span: orthonormal basis of the subspace, [D, rank].
    """

    rows: Index
    rank: int
    span: Array


def chance_cosine(n: int, d: int, alpha: float = 0.01) -> float:
    """The |cosine| that some pair of n random directions in R^d exceeds with probability <= alpha.

    Bonferroni over n (n - 1) / 2 pairs: c with I_{1 - c^2}((d - 1) / 2, 1/2) = alpha / pairs.
    """
    n, d = checks.count("n", n, 2), checks.count("d", d, 2)
    checks.between("alpha", alpha, 0, 1)
    pairs = n * (n - 1) / 2
    return float(np.sqrt(1 - betaincinv((d - 1) / 2, 0.5, alpha / pairs)))


def components(directions: ArrayLike, threshold: float) -> Index:
    """Connected components of the graph that joins directions with |cosine| >= threshold.

    Args:
        directions: vectors of any length, [n, D].
        threshold: in [0, 1].

    Returns:
        A label for each direction, [n]; 0 is the largest component.
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
    """Number of squared singular values of unit rows [n, D] above the largest of random rows.

    The threshold is the 95% quantile for n random rows: ((sqrt n + sqrt D)^2 + .98 (sqrt n + sqrt
    D) (1 / sqrt n + 1 / sqrt D)^(1/3)) / D (Johnstone 2001; for Gaussian rows, whose norms are near
    1). The estimate is conservative: it needs about n / R > (1 + sqrt(n / D))^2, so pool seeds.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    if not d.size:
        return 0
    a, b = np.sqrt(d.shape)
    threshold = ((a + b) ** 2 + TRACY_WIDOM * (a + b) * (1 / a + 1 / b) ** (1 / 3)) / d.shape[1]
    return int(np.sum(np.linalg.svd(d, compute_uv=False) ** 2 > threshold))


def split(directions: ArrayLike, threshold: float) -> list[Index]:
    """Rows of the `components` of directions [n, D], split where two sides are not similar.

    The two sides have least conductance along the second eigenvector of the graph of squared
    cosines with |cosine| >= `threshold` (Shi and Malik 2000). Sides are similar, and stay together,
    if squared cosines between them average 2/D or more, twice the mean of random directions.

    Returns:
        The row indices of each part.
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
        for some in (rows[side], rows[~side]):
            parts += [some[part] for part in split(d[some], threshold)]
    return parts


def grow(directions: ArrayLike, rows: Index, alpha: float = 0.01) -> Group:
    """The group that some `rows` of directions [n, D] grow to.

    Two steps alternate until nothing changes: estimate the rank and the span of the rows; take as
    rows all directions whose energy in the span is at least `GROW` and more than chance gives any
    of the n directions (Bonferroni at `alpha`). The rows of the group are those with half of their
    energy or more in the final span.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    n, width = d.shape
    seen = set()
    while rows.tobytes() not in seen:  # it may alternate between two sets of rows
        seen.add(rows.tobytes())
        rank = max(1, estimate_rank(d[rows]))
        span = learned_span(d[rows], rank)
        energy = np.sum((d @ span) ** 2, axis=1)
        chance = betainccinv(rank / 2, (width - rank) / 2, alpha / n) if rank < width else 1.0
        rows = np.flatnonzero(energy >= min(MEMBER, max(GROW, chance)))
    return Group(np.flatnonzero(energy >= MEMBER), span.shape[1], span)


def groups(directions: ArrayLike, alpha: float = 0.01, least: int = 2) -> list[Group]:
    """Groups of directions that share a subspace, largest first.

    Each part of `split`, at the `chance_cosine` of n directions, grows to a group. Of two groups
    that overlap by more than half, the larger one is kept. Random directions give a group with
    probability <= alpha.

    Args:
        directions: pooled live directions of all seeds, [n, D].
        alpha: error rate.
        least: least number of directions of a group.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    checks.count("least", least, 2)
    if len(d) < least:
        return []
    threshold = chance_cosine(len(d), d.shape[1], alpha)
    parts = [rows for rows in split(d, threshold) if len(rows) >= least]
    found = [grow(d, rows, alpha) for rows in parts]
    kept: list[Group] = []
    for group in sorted(found, key=lambda g: len(g.rows), reverse=True):
        if len(group.rows) >= least and not any(_same(group, other) for other in kept):
            kept.append(group)
    return kept


def _side(d: Array, threshold: float) -> NDArray[np.bool_] | None:
    """The rows on one side of a component [n, D], bool [n]; None if the two sides are similar."""
    if len(d) < 4:
        return None
    side = _least_conductance(_graph(d, threshold))
    a, b = d[side], d[~side]
    across = np.sum((a.T @ a) * (b.T @ b)) / (len(a) * len(b))
    return side if across * d.shape[1] < SIMILAR else None


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
    """The rows on one side of the split of least conductance, bool [n].

    Only splits along the second eigenvector of the normalised graph are tried.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    i, j = graph.coords
    scaled = graph.data / np.sqrt(degree[i] * degree[j])
    matrix = coo_array((scaled, (i, j)), shape=graph.shape).tocsr()
    values, vectors = eigsh(matrix, k=2, which="LA", v0=np.cos(np.arange(len(degree))))
    second = vectors[:, values.argmin()] / np.sqrt(degree)
    position = np.argsort(np.argsort(second, kind="stable"))
    # a prefix of the order cuts an edge if it holds one of the two ends
    low, high = np.minimum(position[i], position[j]), np.maximum(position[i], position[j])
    steps = np.bincount(low, graph.data, len(degree)) - np.bincount(high, graph.data, len(degree))
    volume = np.cumsum(degree[np.argsort(position)])
    smaller = np.minimum(volume, volume[-1] - volume)[:-1]
    return position <= np.argmin(np.cumsum(steps)[:-1] / smaller)


def _same(a: Group, b: Group) -> bool:
    """Do two spans overlap by more than half of the larger one?"""
    shared = np.sum((a.span.T @ b.span) ** 2)
    return bool(shared > max(a.rank, b.rank) / 2)
