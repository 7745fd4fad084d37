"""Find subspaces without the planted truth: groups of latents that share one, and its dimension.

The latents of one seed in a block repel each other and look unrelated. Pooled over seeds they do
not: in a common R-dimensional subspace squared cosines average 1/R, elsewhere 1/D. So pool the live
directions of all seeds, join those with a |cosine| above chance, and take connected components.
This is subspace clustering by thresholding (Heckel and Boelcskei 2015), with the threshold set by
an error rate. A latent between two blocks joins them, so `split_graph` divides such components. A
block of high rank falls into several components, so `grow` extends each of them to the whole block.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.special import betainccinv, betaincinv

from synthsae import checks
from synthsae.arrays import Array, Index, Mask
from synthsae.geometry import unit
from synthsae.metrics.conductance import split_graph
from synthsae.metrics.pairs import similarity_graph
from synthsae.metrics.span_energy import span_members
from synthsae.metrics.subspace import MEMBER

GROW = 0.25  # least energy of a latent that joins a growing subspace
NEGLIGIBLE = 1e-6  # singular value, relative to the largest, that counts as 0
SOME = 128  # groups that are compared with all larger ones at a time
TIE = 1e-9  # an overlap of exactly half is not more than half
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


def estimate_rank(directions: ArrayLike) -> int:
    """Number of squared singular values of unit rows [n, D] above the largest of random rows.

    The threshold is the 95% quantile for n random rows: ((sqrt n + sqrt D)^2 + .98 (sqrt n + sqrt
    D) (1 / sqrt n + 1 / sqrt D)^(1/3)) / D (Johnstone 2001; for Gaussian rows, whose norms are near
    1). The estimate is conservative: it needs about n / R > (1 + sqrt(n / D))^2, so pool seeds.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    if not d.size:
        return 0
    squares = np.linalg.eigvalsh(_small_gram(d))
    return int(np.sum(squares > _largest_of_random(*d.shape)))


def leading_span(directions: Array, rank: int) -> Array:
    """Orthonormal basis of the strongest directions of unit rows [n, D], [D, rank or fewer].

    As `subspace.learned_span`, from a Gram matrix: faster, and blind to singular values below
    `NEGLIGIBLE` of the largest.
    """
    gram = _small_gram(directions)
    n = len(gram)
    if not n:
        return np.zeros((directions.shape[1], 0))
    squares, vectors = eigh(gram, subset_by_index=(max(0, n - rank), n - 1))
    keep = squares > NEGLIGIBLE**2 * squares[-1]
    return _basis(directions, squares[keep], vectors[:, keep])


def grow(d: Array, parts: list[Index], alpha: float = 0.01) -> list[Group]:
    """The groups that some parts, rows of unit vectors [n, D], grow to.

    Two steps alternate until nothing changes: estimate the rank and the span of the rows; take as
    rows all directions whose energy in the span is at least `GROW` and more than chance gives any
    of the n directions (Bonferroni at `alpha`). The rows of the group are those with half of their
    energy or more in the final span.

    Returns:
        A group for each part, without repetitions: parts that meet end as one group.
    """
    n, width = d.shape

    def least(rank: int) -> float:
        chance = betainccinv(rank / 2, (width - rank) / 2, alpha / n) if rank < width else 1.0
        return min(MEMBER, max(GROW, float(chance)))

    ways = [_key(rows, n) for rows in parts]
    nothing = _key(np.zeros(0, dtype=np.intp), n)
    after = {nothing: nothing}
    while start := list(dict.fromkeys(key for key in ways if key not in after)):
        spans = [_span(d[_rows(key, n)]) for key in start]
        found = span_members(d, spans, [least(u.shape[1]) for u in spans])
        after |= zip(start, (_key(rows, n) for rows in found), strict=True)
        ways = [after[key] for key in start]
    last = dict.fromkeys(_last(after, _key(rows, n)) for rows in parts)
    last.pop(nothing, None)
    spans = [_span(d[_rows(key, n)]) for key in last]
    members = span_members(d, spans, [MEMBER] * len(spans))
    return [Group(rows, u.shape[1], u) for rows, u in zip(members, spans, strict=True)]


def groups(directions: ArrayLike, alpha: float = 0.01, least: int = 2) -> list[Group]:
    """Groups of directions that share a subspace, largest first.

    Each part of `split_graph`, at the `chance_cosine` of n directions, grows to a group. Of two
    groups that overlap by more than half, the larger one is kept. Random directions give a group
    with probability <= alpha.

    Args:
        directions: pooled live directions of all seeds, [n, D].
        alpha: error rate.
        least: least number of directions of a group.
    """
    d = unit(checks.array("directions", directions, "[n, D]"))
    return groups_of_unit(d, alpha, checks.count("least", least, 2))


def groups_of_unit(d: Array, alpha: float, least: int = 2) -> list[Group]:
    """`groups` of unit rows [n, D]."""
    if len(d) < least:
        return []
    graph = similarity_graph(d, chance_cosine(len(d), d.shape[1], alpha))
    parts = [rows for rows in split_graph(d, graph) if len(rows) >= least]
    found = [g for g in grow(d, parts, alpha) if len(g.rows) >= least]
    found.sort(key=lambda g: len(g.rows), reverse=True)
    return [found[i] for i in _distinct(found)]


def _largest_of_random(n: int, d: int) -> float:
    """What the largest squared singular value of n random unit rows in R^d rarely exceeds."""
    a, b = np.sqrt((n, d))
    edge = (a + b) ** 2 + TRACY_WIDOM * (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return float(edge / d)


def _small_gram(d: Array) -> Array:
    """The smaller one of d @ d.T and d.T @ d; their eigenvalues are the squared singular values."""
    return d @ d.T if len(d) <= d.shape[1] else d.T @ d


def _span(d: Array) -> Array:
    """Basis [D, rank] of the span of unit rows [n, D], the strongest direction first.

    The rank is `estimate_rank`, at least 1.
    """
    gram = _small_gram(d)
    last = len(gram) - 1
    squares, vectors = eigh(gram, subset_by_value=(_largest_of_random(*d.shape), np.inf))
    if not len(squares):
        squares, vectors = eigh(gram, subset_by_index=(last, last))
    return _basis(d, squares, vectors)


def _basis(d: Array, squares: Array, vectors: Array) -> Array:
    """Right singular vectors of rows [n, D], the strongest first, from those of `_small_gram`."""
    span = vectors if len(d) > d.shape[1] else d.T @ vectors / np.sqrt(squares)
    return np.ascontiguousarray(span[:, ::-1])


def _key(rows: Index, n: int) -> bytes:
    """A set of rows, of n, as bytes: a bit a row."""
    inside: Mask = np.zeros(n, dtype=bool)
    inside[rows] = True
    return np.packbits(inside).tobytes()


def _rows(key: bytes, n: int) -> Index:
    """The rows of a `_key`."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(key, dtype=np.uint8), count=n))


def _last(after: dict[bytes, bytes], key: bytes) -> bytes:
    """Where the steps `after` from `key` end: what is followed by a set that was there before."""
    seen = {key}
    while after[key] not in seen:
        key = after[key]
        seen.add(key)
    return key


def _distinct(found: list[Group]) -> list[int]:
    """Positions of the groups of which no earlier one that is kept overlaps by more than half.

    Two spans overlap by more than half of the larger one if the sum of their squared cosines is
    more than half of its dimension.
    """
    rank = np.array([g.rank for g in found], dtype=np.intp)
    ends = np.cumsum(rank)
    rows = np.concatenate([g.span.T for g in found]) if found else np.zeros((0, 1))
    keep: Mask = np.zeros(len(found), dtype=bool)
    for start in range(0, len(found), SOME):
        stop = min(start + SOME, len(found))
        first = ends[:stop] - rank[:stop]
        squares = (rows[first[start] : ends[stop - 1]] @ rows[: ends[stop - 1]].T) ** 2
        shared = np.add.reduceat(squares, first[start:] - first[start])
        shared = np.add.reduceat(shared, first, axis=1)
        for i in range(start, stop):
            larger = np.maximum(rank[:i], rank[i])
            keep[i] = not (keep[:i] & (shared[i - start, :i] > larger / 2 + TIE)).any()
    return np.flatnonzero(keep).tolist()
