"""Pairs of directions with a large cosine, block by block.

Products are in float32. Cosines within `MARGIN` of the threshold are computed again in float64, so
that the same pairs are found as in float64.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from synthsae.arrays import Array

Single = NDArray[np.float32]
Pairs = tuple[NDArray[np.signedinteger], NDArray[np.signedinteger], Single]
BLOCK = 1024
"""Rows of a matrix of cosines held at a time."""
MARGIN = 1e-5
"""More than the error of a cosine in float32."""


def close_pairs(x: Array, y: Array, least: float) -> Pairs:
    """All pairs of unit rows of x [m, D] and y [n, D] with a cosine of `least` or more.

    Where y is x itself, each pair of two rows comes once, the smaller index first.

    Returns:
        Rows of x, rows of y and the cosines, in the order of x and then of y.
    """
    return _joined([_above(x, y, start, c, least) for start, c in _products(x, y)])


def similarity_graph(d: Array, threshold: float) -> csr_array:
    """Squared cosines of unit rows [n, D] where |cosine| >= `threshold`, symmetric, [n, n] sparse.

    The diagonal is 1.
    """
    parts = []
    for start, c in _products(d, d):
        i, j, cosine = _above(d, d, start, c, threshold, absolute=True)
        parts.append((i.astype(np.int32), j.astype(np.int32), cosine**2))
    i, j, weight = _joined(parts)
    ones = np.arange(len(d), dtype=i.dtype)
    weight = np.concatenate([weight, weight, np.ones(len(d), dtype=np.float32)])
    at = np.concatenate([i, j, ones]), np.concatenate([j, i, ones])
    return csr_array((weight, at), shape=(len(d), len(d)))


def _products(x: Array, y: Array) -> Iterator[tuple[int, Single]]:
    """Rows of x @ y.T in blocks, each with the position of its first row.

    Where y is x, columns before that position are left out.
    """
    a = x.astype(np.float32)
    b = a if y is x else y.astype(np.float32)
    for start in range(0, len(x), BLOCK):
        yield start, a[start : start + BLOCK] @ b[start if y is x else 0 :].T


def _above(
    x: Array, y: Array, start: int, c: Single, least: float, *, absolute: bool = False
) -> Pairs:
    """Rows, columns and values of a block of `_products` with a value of `least` or more."""
    if absolute:
        np.abs(c, out=c)
    i, j = np.nonzero(c >= least - MARGIN)
    value = c[i, j]
    i, j = i + start, j + (start if y is x else 0)
    (unsure,) = np.nonzero(value < least + MARGIN)
    exact = np.einsum("ed,ed->e", x[i[unsure]], y[j[unsure]])
    keep = j > i if y is x else np.ones(len(i), dtype=bool)
    keep[unsure] &= (np.abs(exact) if absolute else exact) >= least
    return i[keep], j[keep], value[keep]


def _joined(parts: list[Pairs]) -> Pairs:
    """Pairs of all blocks one after another."""
    if not parts:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0, np.float32)
    i, j, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    return i, j, value
