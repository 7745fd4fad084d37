"""What each variable explains of another, alone and beside the others."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array


class Regression(NamedTuple):
    """Ordinary least squares fit of y on P variables and a constant.

    Attributes:
        slopes: slope of each variable with the others held fixed, [P].
        standardised: the slopes for y and variables of standard deviation 1, [P].
        r2: share of the variance of y that is explained.
        unique: r2 minus r2 of the fit without the variable, [P].
    """

    slopes: Array
    standardised: Array
    r2: float
    unique: Array


def least_squares(y: ArrayLike, x: ArrayLike) -> Regression:
    """Fit y [n] on the columns of x [n, P].

    r2 minus the sum of `unique` is explained by several variables in common. It is large if
    variables are correlated, and then no regression says which of them matters. It is negative if
    one variable hides the effect of another.

    Returns:
        The fit; all NaN if n < P + 2, or if y or a column of x is constant.
    """
    a, b = checks.array("y", y, "[n]"), checks.array("x", x, "[n, P]")
    checks.same_shape("y", a.shape, "x's rows", b.shape[:1])
    n, p = b.shape
    if n < p + 2 or not np.ptp(a) > 0 or not np.all(np.ptp(b, axis=0) > 0):
        undefined = np.full(p, np.nan)
        return Regression(undefined, undefined, np.nan, undefined)
    slopes, r2 = _fit(a, b)
    without = np.array([_fit(a, np.delete(b, j, axis=1))[1] for j in range(p)])
    return Regression(slopes, slopes * b.std(axis=0) / a.std(), r2, r2 - without)


def _fit(y: Array, x: Array) -> tuple[Array, float]:
    """Slopes, and the share of the variance of y that they explain."""
    centred, target = x - x.mean(axis=0), y - y.mean()
    slopes = np.linalg.lstsq(centred, target, rcond=None)[0]
    return slopes, float(1 - np.sum((target - centred @ slopes) ** 2) / np.sum(target**2))
