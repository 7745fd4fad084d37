"""Do two sets of variables, matched one to one, vary together in the same pairs?"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown

ROUNDING = 1e-6
"""Share of a matrix's largest entry that float32 may change."""


def rv(a: ArrayLike, b: ArrayLike, diagonal: bool = True) -> Array:
    """RV coefficient (Robert and Escoufier 1976) tr(A B) / sqrt(tr(A A) tr(B B)): -> [...].

    `a` and `b` [..., N, N] are symmetric with matched rows. 1 where they are proportional; between
    0 and 1 for covariances. Without the `diagonal` both have theirs set to 0 and it is in [-1, 1]:
    variances alone make RV large (two diagonal matrices of equal entries have 1), whichever
    variables are matched. NaN where nothing is left of one of them. Raises ValueError for shapes
    that do not fit and for matrices that are empty, not finite or not symmetric.
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
    """`rv` with the rows and columns of `b` matched at random: [N, N], [N, N] -> [draws].

    The null of a matching that says nothing. Errors as `rv`.
    """
    x, y = _symmetric("a", a), _symmetric("b", b)
    checks.same_shape("b", y.shape, "a", x.shape)
    if not diagonal:
        x, y = off_diagonal(x), off_diagonal(y)
    x, y = _unit(x), _unit(y)  # which no permutation changes
    orders = [rng.permutation(len(y)) for _ in range(checks.count("draws", draws))]
    return np.array([np.sum(x * y[np.ix_(order, order)]) for order in orders])


def off_diagonal(matrix: ArrayLike) -> Array:
    """A copy of `matrix` [..., N, N] with zeros on the diagonal.

    Zeros everywhere where what is left is no more than rounding (`ROUNDING` of the largest entry):
    a ratio of roundings would differ from processor to processor.
    """
    x = np.array(matrix, dtype=np.float64)
    whole = np.max(np.abs(x), axis=(-2, -1), keepdims=True)
    i = np.arange(x.shape[-1])
    x[..., i, i] = 0.0
    return np.where(np.max(np.abs(x), axis=(-2, -1), keepdims=True) > ROUNDING * whole, x, 0.0)


def _unit(x: Array) -> Array:
    """`x` over its Frobenius norm, without overflow on the way; NaN where it is 0."""
    most = np.max(np.abs(x), axis=(-2, -1), keepdims=True)
    y = np.divide(x, most, out=np.full_like(x, np.nan), where=most > 0)
    return y / np.sqrt(np.sum(y**2, axis=(-2, -1), keepdims=True))


def _symmetric(name: str, value: ArrayLike) -> Array:
    x = checks.array(name, value, "[..., N, N]")
    if x.shape[-1] == 0:
        raise ConfigError(name, Shown(f"shape {x.shape}"), "one row or more")
    most = np.max(np.abs(x), axis=(-2, -1), keepdims=True)
    if (np.abs(x - x.mT) > 1e-6 * most).any():
        raise ConfigError(name, Shown(f"shape {x.shape}, not symmetric"), "symmetric matrices")
    return x
