"""Pairs of directions with a large cosine, without the whole matrix of cosines."""

import numpy as np

from synthsae.arrays import Array, Index

BLOCK = 1024
"""Rows of a matrix of cosines held at a time."""


def close_pairs(x: Array, y: Array, least: float) -> tuple[Index, Index, Array]:
    """All pairs of unit rows of x [m, D] and y [n, D] with a cosine of `least` or more.

    Returns:
        Rows of x, rows of y and the cosines, in the order of x and then of y.
    """
    found = []
    for start in range(0, len(x), BLOCK):
        c = x[start : start + BLOCK] @ y.T
        i, j = np.nonzero(c >= least)
        found.append((i + start, j, c[i, j]))
    if not found:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0)
    i, j, cosine = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, cosine
