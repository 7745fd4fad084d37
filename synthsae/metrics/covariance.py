"""RV coefficient: are the covariances of two sets of matched variables proportional?"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown

ROUNDING = 1e-6
"""Relative to a matrix's largest entry, changes that float32 rounding may cause."""


def rv(a: ArrayLike, b: ArrayLike, diagonal: bool = True) -> Array:
    """RV coefficient tr(A B) / sqrt(tr(A A) tr(B B)) (Robert and Escoufier 1976), [...].

    1 for proportional matrices, and between 0 and 1 for covariances. Variances alone make RV large,
    whichever variables are matched: two multiples of the identity have RV 1. Without the diagonals
    RV is in [-1, 1].

    Args:
        a: symmetric matrices, [..., N, N].
        b: symmetric matrices whose rows match those of `a`, [..., N, N].
        diagonal: False sets both diagonals to 0.

    Returns:
        The coefficient; NaN where a matrix is 0.
    """
    x, y = _symmetric("a", a), _symmetric("b", b)
    checks.same_shape("b's rows", y.shape[-1:], "a", x.shape[-1:])
    checks.broadcastable("b", y.shape[:-2], "a", x.shape[:-2])
    if not diagonal:
        x, y = off_diagonal(x), off_diagonal(y)
    return np.sum(_unit(x) * _unit(y), axis=(-2, -1))


def permuted_rv(
    a: ArrayLike, b: ArrayLike, rng: np.random.Generator, draws: int = 99, diagonal: bool = True
) -> Array:
    """`rv` of `a` [N, N] and of `b` [N, N] with its variables permuted at random, [draws].

    The null distribution of `rv` for a matching without information.
    """
    x, y = _symmetric("a", a), _symmetric("b", b)
    checks.same_shape("b", y.shape, "a", x.shape)
    if not diagonal:
        x, y = off_diagonal(x), off_diagonal(y)
    x, y = _unit(x), _unit(y)  # permutations do not change the norms
    orders = [rng.permutation(len(y)) for _ in range(checks.count("draws", draws))]
    return np.array([np.sum(x * y[np.ix_(order, order)]) for order in orders])


def off_diagonal(matrix: ArrayLike) -> Array:
    """A copy of `matrix` [..., N, N] with zeros on the diagonal.

    A matrix whose other entries are all below `ROUNDING` times its largest entry becomes 0: a ratio
    of rounding errors would differ between processors.
    """
    x = np.array(matrix, dtype=np.float64)
    whole = np.max(np.abs(x), axis=(-2, -1), keepdims=True)
    i = np.arange(x.shape[-1])
    x[..., i, i] = 0.0
    return np.where(np.max(np.abs(x), axis=(-2, -1), keepdims=True) > ROUNDING * whole, x, 0.0)


def _unit(x: Array) -> Array:
    """`x` divided by its Frobenius norm, without overflow; NaN where `x` is 0."""
    most = np.max(np.abs(x), axis=(-2, -1), keepdims=True)
    y = np.divide(x, most, out=np.full_like(x, np.nan), where=most > 0)
    return y / np.sqrt(np.sum(y**2, axis=(-2, -1), keepdims=True))


def _symmetric(name: str, value: ArrayLike) -> Array:
    """`value` as symmetric matrices [..., N, N] with N >= 1."""
    x = checks.array(name, value, "[..., N, N]")
    if x.shape[-1] == 0:
        raise ConfigError(name, Shown(f"shape {x.shape}"), "one row or more")
    most = np.max(np.abs(x), axis=(-2, -1), keepdims=True)
    if (np.abs(x - x.mT) > 1e-6 * most).any():
        raise ConfigError(name, Shown(f"shape {x.shape}, not symmetric"), "symmetric matrices")
    return x
