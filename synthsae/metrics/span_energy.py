"""Which directions have much of their energy in each of many subspaces."""

from collections.abc import Iterator

import numpy as np

from synthsae.arrays import Array, Index

ROWS, COLUMNS = 2048, 4096
"""Directions, and dimensions of all subspaces together, that are multiplied at a time."""
MARGIN = 1e-5
"""More than the error of an energy in float32."""


def span_members(d: Array, spans: list[Array], least: list[float]) -> list[Index]:
    """Rows of unit vectors [n, D] with an energy of `least` or more in each subspace.

    Products are in float32. Energies within `MARGIN` of the threshold are computed in float64.

    Args:
        d: unit rows, [n, D].
        spans: orthonormal bases, [D, rank] each, of rank 1 or more.
        least: least energy in each of them.
    """
    x = d.astype(np.float32)
    found: list[Index] = []
    for chosen in _chunks([u.shape[1] for u in spans]):
        found += _members(d, x, spans[chosen], np.array(least[chosen]))
    return found


def _members(d: Array, x: np.ndarray, spans: list[Array], least: Array) -> list[Index]:
    """`span_members` for subspaces that are multiplied at once; x is d in float32."""
    first = np.cumsum([0, *(u.shape[1] for u in spans[:-1])])
    basis = np.concatenate(spans, axis=1).astype(np.float32)
    parts = []
    for start in range(0, len(d), ROWS):
        energy = np.add.reduceat((x[start : start + ROWS] @ basis) ** 2, first, axis=1)
        i, g = np.nonzero(energy >= least - MARGIN)
        value = energy[i, g]
        keep = np.ones(len(i), dtype=bool)
        for at in np.flatnonzero(value < least[g] + MARGIN):
            exact = np.sum((d[start + i[at]] @ spans[g[at]]) ** 2)
            keep[at] = exact >= least[g[at]]
        parts.append((g[keep], i[keep] + start))
    group, row = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(group, kind="stable")
    return np.split(row[order], np.searchsorted(group[order], np.arange(1, len(spans))))


def _chunks(ranks: list[int]) -> Iterator[slice]:
    """Neighbouring subspaces whose ranks add up to `COLUMNS` at most, or one alone."""
    start = total = 0
    for i, rank in enumerate(ranks):
        if i > start and total + rank > COLUMNS:
            yield slice(start, i)
            start, total = i, 0
        total += rank
    if ranks:
        yield slice(start, len(ranks))
