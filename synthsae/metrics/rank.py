"""Number of dimensions that a set of directions fills, and its value for i.i.d. directions.

Both measures depend on the number of rows. Compare sets of equal size, beside the i.i.d. value.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae import checks
from synthsae.arrays import Array
from synthsae.geometry import unit

MANY = 2**17
"""Entries from which eigenvalues of X^T X take less time than an SVD by more than milliseconds."""
SQUARED = 1e-6
"""Least ratio of two of these eigenvalues; a singular value is then right to 1e-9."""


def effective_rank(directions: ArrayLike) -> Array:
    """Effective rank exp(entropy(s / sum s)) of unit rows [..., n, D], [...].

    s are the singular values, not squared (Roy and Vetterli 2007). In [1, min(n, D)]; 0 if all rows
    are 0.
    """
    s = _singular_values(directions)
    total = s.sum(axis=-1, keepdims=True)
    p = np.divide(s, total, out=np.zeros_like(s), where=total > 0)
    log = np.log(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(np.where(total[..., 0] > 0, np.exp(-np.sum(p * log, axis=-1)), 0.0))


def participation_ratio(directions: ArrayLike) -> Array:
    """Participation ratio (sum s^2)^2 / sum s^4 of unit rows [..., n, D], [...].

    s are the singular values. In [1, min(n, D)]; 0 if all rows are 0.
    """
    energy = _singular_values(directions) ** 2
    square = np.sum(energy**2, axis=-1)
    top = energy.sum(axis=-1) ** 2
    return np.divide(top, square, out=np.zeros_like(top), where=square > 0)


def iid_effective_rank(n: int, d: int) -> float:
    """`effective_rank` of n i.i.d. uniform unit rows in R^d, in the limit of large n and d.

    Squared singular values follow the Marchenko-Pastur distribution with ratio y = min / max(n, d):
    with lambda = 1 + y + 2 sqrt(y) cos t, E g(lambda) = (2 / pi) int_0^pi g sin^2 t / lambda dt,
    and ER = min(n, d) E[s] exp(-E[s log s] / E[s]). The error is below .6% from min(n, d) = 8.
    """
    n, d = checks.count("n", n), checks.count("d", d)
    y = min(n, d) / max(n, d)
    t = (np.arange(20_000) + 0.5) * (np.pi / 20_000)
    eigenvalue = 1 + y + 2 * np.sqrt(y) * np.cos(t)
    weight = 2 * np.sin(t) ** 2 / eigenvalue / len(t)
    s = np.sqrt(eigenvalue)
    mean = np.sum(weight * s)
    return float(min(n, d) * mean * np.exp(-np.sum(weight * s * np.log(s)) / mean))


def iid_participation_ratio(n: int, d: int) -> float:
    """`participation_ratio` of n i.i.d. uniform unit rows in R^d: n d / (n + d - 1).

    From E sum s^4 = n + n (n - 1) / d and sum s^2 = n: a ratio of means, with an error of order
    1 / (n d).
    """
    n, d = checks.count("n", n), checks.count("d", d)
    return n * d / (n + d - 1)


def singular(x: Array) -> tuple[Array, Array]:
    """Singular values, descending, and right singular vectors of rows [..., n, D].

    Of many entries, from the eigenvalues of X^T X or X X^T, which takes less time. An eigenvalue is
    right to about 1e-15 of the largest one, so where one is below `SQUARED` of it, the SVD is used.

    Returns:
        [..., min(n, D)] and [..., min(n, D), D].
    """
    if _many(x):
        squares, vectors = np.linalg.eigh(_products(x))
        if _apart_from_zero(squares):
            values, axes = np.sqrt(squares[..., ::-1]), vectors[..., ::-1].mT
            return values, axes if _tall(x) else axes @ x / values[..., None]
    _, values, axes = np.linalg.svd(x, full_matrices=False)
    return np.asarray(values, dtype=np.float64), np.asarray(axes, dtype=np.float64)


def _singular_values(directions: ArrayLike) -> Array:
    """Singular values of unit rows, descending, [..., min(n, D)]; see `singular`."""
    d = checks.array("directions", directions, "[..., n, D]")
    if not d.size:
        return np.zeros((*d.shape[:-2], 0))
    x = unit(d)
    if _many(x) and _apart_from_zero(squares := np.linalg.eigvalsh(_products(x))):
        return np.sqrt(squares[..., ::-1])
    return np.asarray(np.linalg.svd(x, compute_uv=False), dtype=np.float64)


def _many(x: Array) -> bool:
    return x.shape[-2] * x.shape[-1] >= MANY


def _tall(x: Array) -> bool:
    return x.shape[-2] >= x.shape[-1]


def _products(x: Array) -> Array:
    """X^T X or X X^T, the smaller of the two."""
    return x.mT @ x if _tall(x) else x @ x.mT


def _apart_from_zero(squares: NDArray[np.floating]) -> bool:
    """Whether all eigenvalues, in ascending order, are large enough to take their roots."""
    return bool((squares[..., 0] > SQUARED * squares[..., -1]).all())
