"""Which SAEs are one and the same: stored twice, permuted, rescaled, or rounded to 16 bits."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from synthsae.geometry import unit
from synthsae.metrics import _check

Array = NDArray[np.float64]

ROUNDED = 1.01 * 2.0**-8  # share of a number that bfloat16 may change; float16 changes less
TINY = 1e-5  # what float16 may change of a unit row's entry that is near zero
APART = 2.0**-7  # distance of a unit row from its rounded copy: never more
AXES = 8  # random directions by which rows are compared before all of their entries are
BLOCK = 1024  # rows compared at a time


def copies(directions: Iterable[ArrayLike]) -> list[list[int]]:
    """Groups of two SAEs or more that are copies of one another, as positions in `directions`.

    Args:
        directions: decoder rows of each SAE, [M, D], where M may differ; or [S, M, D]. Rows of
            zeros are no latents; an SAE that has no other rows is no copy.

    Copies have as many latents, and each latent of one has a counterpart in the other, with all
    entries of the two unit rows as near as rounding to bfloat16 leaves them. So neither order nor
    norms matter, a part of an SAE is no copy of it, and seeds whose rows differ by noise are none
    either: noise moves the small entries of a row too much. Groups are in order of their first
    SAE. Raises ValueError for shapes that do not fit and values that are not finite.
    """
    rows = [_latents(f"directions[{i}]", x) for i, x in enumerate(directions)]
    for i, x in enumerate(rows):
        _check.same(f"directions[{i}]'s rows", x.shape[1:], "directions[0]'s", rows[0].shape[1:])
    d = rows[0].shape[1] if rows else 0
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((d, min(d, AXES))))[0]
    codes = [x @ axes for x in rows]
    pairs = [
        (i, j)
        for i, j in combinations(range(len(rows)), 2)
        if _alike(codes[i], codes[j])
        and _covered(rows[i], codes[i], rows[j], codes[j])
        and _covered(rows[j], codes[j], rows[i], codes[i])
    ]
    return _groups(pairs, len(rows))


def _latents(name: str, value: ArrayLike) -> Array:
    """The rows that are not zero, scaled to norm 1."""
    x = _check.array(name, value, "[M, D]")
    return unit(x[x.any(axis=1)])


def _alike(a: Array, b: Array) -> bool:
    """Whether the coordinates of two sets of rows have distributions as near as copies' have."""
    if len(a) != len(b) or not len(a):
        return False
    return bool((abs(np.sort(a, axis=0) - np.sort(b, axis=0)) <= APART).all())


def _covered(x: Array, code_x: Array, y: Array, code_y: Array) -> bool:
    """Whether every row of x is a row of y, up to rounding. The codes are their coordinates."""
    away, at = KDTree(code_y).query(code_x, distance_upper_bound=APART)
    if not np.isfinite(away).all():
        return False
    for start in range(0, len(x), BLOCK):
        if not _rounded(x[start : start + BLOCK], y[at[start : start + BLOCK]]).all():
            return False
    return True


def _rounded(a: Array, b: Array) -> NDArray[np.bool_]:
    """For which rows some scale c brings every entry of c b as near to a as rounding does, [m].

    Rounding changes the norm of a row, too. An entry of another sign counts as 0.
    """
    b = np.maximum(b * np.sign(a), 1e-300)
    least = ((1 - ROUNDED) * abs(a) - TINY) / b
    most = ((1 + ROUNDED) * abs(a) + TINY) / b
    return least.max(axis=1) <= most.min(axis=1)


def _groups(pairs: list[tuple[int, int]], n: int) -> list[list[int]]:
    """Connected components of two or more among n nodes."""
    edges = np.reshape(pairs, (-1, 2)).astype(int).T
    graph = coo_array((np.ones(len(pairs)), tuple(edges)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    found = [np.flatnonzero(label == k).tolist() for k in dict.fromkeys(label.tolist())]
    return [group for group in found if len(group) > 1]
