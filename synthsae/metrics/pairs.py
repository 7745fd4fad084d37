"""Pairs of directions with a large cosine, block by block.

Products are in float32. What is near the threshold is computed again in float64, so that the same
pairs are found as in float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array

from synthsae.arrays import Array, Index

Single = NDArray[np.float32]
BLOCK, CELLS = 1024, 2**25
"""Rows and entries of a matrix of cosines held at a time, at most."""
MARGIN = 1e-5
"""More than the error of a cosine in float32."""
FEW = 1 / 128
"""Largest share of the pairs of a block that are computed one by one."""


MOST, NEAREST = 2**23, 128
"""Pairs of a whole graph at most, and pairs of each row that a larger graph keeps."""
Edges = tuple[NDArray[np.int32], NDArray[np.int32], Single]


class Pairs(NamedTuple):
    """Pairs of rows and their cosines, [n] each."""

    i: Index
    j: Index
    cosine: Array

    def take(self, which: NDArray[np.bool_] | Index) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.i[which], self.j[which], self.cosine[which])


def concatenated(parts: list[Pairs]) -> Pairs:
    """Pairs one after another."""
    if not parts:
        return Pairs(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0))
    return Pairs(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def close_pairs(x: Array, y: Array, least: float) -> Pairs:
    """All pairs of unit rows of x [m, D] and y [n, D] with a cosine of `least` or more.

    Where y is x itself, each pair of two rows comes once, the smaller index first.

    The first principal components of the rows bound a cosine: with the norms s, t of what is left,
    cos <= x_1 . y_1 + s t (Cauchy and Schwarz). Only pairs whose bound is large enough are
    computed.
    """
    a, b = _heads(x, y, least)
    full: list[Single] = []
    parts = []
    for start, bound in _products(a, b):
        i, j = np.nonzero(bound >= least - MARGIN)
        if len(i) > FEW * bound.size and a.shape[1] < x.shape[1]:
            full = full or [v.astype(np.float32) for v in (x, y)]
            rest = slice(start if y is x else 0, None)
            stop = start + len(bound)
            i, j = np.nonzero(full[0][start:stop] @ full[1][rest].T >= least - MARGIN)
        i, j = i + start, j + (start if y is x else 0)
        if y is x:
            i, j = i[j > i], j[j > i]
        parts.append(_exact(x, y, i, j, least))
    return concatenated(parts)


def largest_cosines(d: Array, others: Index, rows: Index) -> Array:
    """Largest cosine of each of the `rows` of d [n, D] with one of the `others`, itself left out.

    Returns:
        [len(rows)]; -1 where there is no other.
    """
    best = np.full(len(rows), -1.0)
    if not len(others):
        return best
    column = np.full(len(d), len(others))
    column[others] = np.arange(len(others))
    single = d[others].astype(np.float32)
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        c = np.empty((len(some), len(others) + 1), dtype=np.float32)
        c[:, :-1] = d[some].astype(np.float32) @ single.T
        c[np.arange(len(some)), column[some]] = -1  # the last column is for rows not in `others`
        c[:, -1] = -1
        i, j = np.nonzero(c >= np.maximum(c.max(axis=1) - MARGIN, -1 + MARGIN)[:, None])
        exact = _exact(d, d, some[i], others[j], -1.0)
        np.maximum.at(best[start : start + BLOCK], i, exact.cosine)
    return best


def similarity_graph(d: Array, threshold: float) -> csr_array:
    """Squared cosines of unit rows [n, D] where |cosine| >= `threshold`, symmetric, [n, n] sparse.

    The diagonal is 1. Of more than `MOST` pairs, those are kept that are among the `NEAREST` of one
    of their two rows: a graph of 4,096 rows or fewer is always whole.
    """
    single = d.astype(np.float32)
    nothing = np.zeros(0, dtype=np.int32)
    parts: list[Edges] = [(nothing, nothing, np.zeros(0, dtype=np.float32))]
    total = 0
    for start, c in _products(single, single):
        parts.append(_edges(d, start, c, threshold))
        total += len(parts[-1][0])
        if total > MOST:
            parts = [_nearest_edges(single, threshold)]
            break
    i, j, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    ones = np.arange(len(d), dtype=np.int32)
    weight = np.concatenate([weight, weight, np.ones(len(d), dtype=np.float32)])
    at = np.concatenate([i, j, ones]), np.concatenate([j, i, ones])
    return csr_array((weight, at), shape=(len(d), len(d)))


def _edges(d: Array, start: int, c: Single, threshold: float) -> Edges:
    """Pairs i < j of a block of `_products`, from row `start` on, and their squared cosines."""
    np.abs(c, out=c)
    i, j = np.nonzero(c >= threshold - MARGIN)
    value = c[i, j]
    i, j = i + start, j + start
    (unsure,) = np.nonzero(value < threshold + MARGIN)
    keep = j > i
    exact = np.einsum("ed,ed->e", d[i[unsure]], d[j[unsure]])
    keep[unsure] &= np.abs(exact) >= threshold
    return i[keep].astype(np.int32), j[keep].astype(np.int32), value[keep] ** 2


def _nearest_edges(single: Single, threshold: float) -> Edges:
    """The pairs at `threshold` that are among the `NEAREST` of one of their rows, as `_edges`."""
    parts = []
    for start, c in _products(single, single.view()):
        np.abs(c, out=c)
        c[np.arange(len(c)), start + np.arange(len(c))] = -1
        n = min(NEAREST, c.shape[1])
        least = np.maximum(np.partition(c, -n, axis=1)[:, -n], threshold)
        row, column = np.nonzero(c >= least[:, None])
        ends = row + start, column
        pair = np.minimum(*ends) * len(single) + np.maximum(*ends)
        parts.append((pair, c[row, column] ** 2))
    pairs, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    pairs, first = np.unique(pairs, return_index=True)  # a pair may come from both of its rows
    i, j = np.divmod(pairs, len(single))
    return i.astype(np.int32), j.astype(np.int32), weight[first]


def _products(a: Single, b: Single) -> Iterator[tuple[int, Single]]:
    """Rows of a @ b.T in blocks, each with the position of its first row.

    Where b is a, columns before that position are left out.
    """
    rows = max(1, min(BLOCK, CELLS // max(1, len(b))))
    for start in range(0, len(a), rows):
        yield start, a[start : start + rows] @ b[start if b is a else 0 :].T


def _heads(x: Array, y: Array, least: float) -> tuple[Single, Single]:
    """Rows whose inner products bound the cosines of unit rows x and y, [m, k + 1], [n, k + 1].

    k is the smallest number of principal components of y with which unrelated rows stay below
    `least`, by five standard deviations. If it is not small, the rows themselves are returned.
    """
    width = x.shape[1]
    variance, axes = eigh(y.T @ y / max(1, len(y)))
    variance, axes = variance[::-1], axes[:, ::-1]
    bound = 1 - np.cumsum(variance) + 5 * np.sqrt(np.cumsum(variance**2))
    (enough,) = np.nonzero(bound[: width // 2] < least)
    if not len(enough):
        heads = [v.astype(np.float32) for v in ((x,) if y is x else (x, y))]
    else:
        basis = axes[:, : enough[0] + 1]
        heads = [_head(v, basis) for v in ((x,) if y is x else (x, y))]
    return heads[0], heads[-1]


def _head(x: Array, basis: Array) -> Single:
    """Coordinates of unit rows [n, D] in a basis [D, k], and the norm of what is left."""
    inside = x @ basis
    left = np.sqrt(np.maximum(0.0, 1 - np.sum(inside**2, axis=1)))
    return np.column_stack([inside, left]).astype(np.float32)


def _exact(x: Array, y: Array, i: Index, j: Index, least: float) -> Pairs:
    """The pairs of rows i of x and j of y with a cosine of `least` or more."""
    cosine = np.zeros(len(i))
    for start in range(0, len(i), 8 * BLOCK):
        some = slice(start, start + 8 * BLOCK)
        cosine[some] = np.einsum("ed,ed->e", x[i[some]], y[j[some]])
    return Pairs(i, j, cosine).take(cosine >= least)
