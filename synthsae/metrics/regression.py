"""What one variable explains, and what another explains already."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array


class Regression(NamedTuple):
    """An ordinary least squares fit on P variables and a constant.

    Attributes:
        slopes: of each variable with the others held, [P].
        standardised: the same with y and every variable at standard deviation 1, [P].
        r2: share of the variance of y explained by all.
        unique: r2 minus that of the fit without the variable: what it adds to the others, [P].
    """

    slopes: Array
    standardised: Array
    r2: float
    unique: Array


def least_squares(y: ArrayLike, x: ArrayLike) -> Regression:
    """Fit y [n] on the columns of x [n, P]. All NaN where n < P + 2 or y or a column is constant.

    r2 minus the sum of `unique` is what no variable adds to the others: it is large where they move
    together, and then no regression says which of them counts; it is negative where one hides
    another. Raises ValueError for shapes that do not fit and values that are not finite.
    """
    a, b = checks.array("y", y, "[n]"), checks.array("x", x, "[n, P]")
    checks.same_shape("y", a.shape, "x's rows", b.shape[:1])
    n, p = b.shape
    if n < p + 2 or not np.ptp(a) > 0 or not np.all(np.ptp(b, axis=0) > 0):
        nothing = np.full(p, np.nan)
        return Regression(nothing, nothing, np.nan, nothing)
    slopes, r2 = _fit(a, b)
    without = np.array([_fit(a, np.delete(b, j, axis=1))[1] for j in range(p)])
    return Regression(slopes, slopes * b.std(axis=0) / a.std(), r2, r2 - without)


def _fit(y: Array, x: Array) -> tuple[Array, float]:
    """Slopes and the share of the variance explained."""
    centred, target = x - x.mean(axis=0), y - y.mean()
    slopes = np.linalg.lstsq(centred, target, rcond=None)[0]
    return slopes, float(1 - np.sum((target - centred @ slopes) ** 2) / np.sum(target**2))
