"""Feature or principal axis? The fourth moments of activations along a direction.

Let y_i = <x - mean, w_i> be the activations along two directions of one block, S their covariance.
If the code of the block is elliptical (Gaussian, of any covariance, behind any gate and with any
random radius), its fourth moments are fixed by S up to one factor c, which all pairs share:

    E y_i^4 = 3 c S_ii^2        and        E y_i^2 y_j^2 = c (S_ii S_jj + 2 S_ij^2).

So kappa = E y_i^4 (S_ii S_jj + 2 S_ij^2) / (S_ii^2 E y_i^2 y_j^2) is 3, whatever the gate: the
partner j takes the gate out. If the code is sparse along w_i, with independent coordinates behind
the gate, kappa is their kurtosis: 6 for Laplace codes. Directions along which nothing is planted,
such as principal axes, have 3; sparse axes have more. Derived here; the moments of elliptical laws
are in Muirhead (1982), section 1.5.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from synthsae.arrays import Array, Index
from synthsae.checks import array, between
from synthsae.geometry import unit

GROUPS = 20
"""Groups of samples of the jackknife."""
SHARED = 2.0
"""Least c at which two directions are taken to share a gate: independent ones have 1."""
APART = 0.9
"""Partners with a larger absolute cosine say nothing new."""


class AxisTest(NamedTuple):
    """Kurtosis along each direction with its shared gate taken out, [n] each.

    Attributes:
        kappa: 3 along directions of an elliptical code, more along sparse axes; NaN without a
            partner.
        low: lower end of its interval, a jackknife of log kappa over groups of samples.
        high: upper end.
        partner: index of the direction that shares the gate, -1 for none.
    """

    kappa: Array
    low: Array
    high: Array
    partner: Index


def axis_test(x: ArrayLike, directions: ArrayLike, level: float = 0.95) -> AxisTest:
    """Is the code along each direction sparse, or that of an elliptical block?

    Half of the samples choose the partner, the direction with the largest c; the other half gives
    kappa.

    Args:
        x: activations [N, D]; independent rows in any order, 80 or more.
        directions: directions [n, D]; those of one block are each other's partners.
        level: coverage of the interval.
    """
    rows, w = array("x", x, "[N, D]"), unit(array("directions", directions, "[n, D]"))
    y = (rows - rows.mean(axis=0)) @ w.T
    first, second = y[::2], y[1::2]
    c = _shared(first)
    c[np.abs(w @ w.T) > APART] = 0
    n = len(w)
    partner = c.argmax(axis=1) if n else np.zeros(0, np.intp)
    alone = c[np.arange(n), partner] < SHARED
    sums = np.stack([_sums(part, partner) for part in np.array_split(second, GROUPS)])
    total = sums.sum(axis=0)
    kappa, left_out = _kappa(total), _kappa(total - sums)
    error = np.sqrt((GROUPS - 1) * np.log(left_out).var(axis=0))
    width = student.ppf((1 + between("level", level, 0, 1, strict=True)) / 2, GROUPS - 1) * error
    values = (np.where(alone, np.nan, kappa * np.exp(sign * width)) for sign in (0, -1, 1))
    estimate, low, high = values
    return AxisTest(estimate, low, high, np.where(alone, -1, partner))


def _shared(y: Array) -> Array:
    """c of every pair of columns, [n, n]: 1 / p for a gate of probability p, 1 without one."""
    s, squares = y.T @ y / len(y), y**2
    joint = squares.T @ squares / len(y)
    scale = np.outer(np.diag(s), np.diag(s)) + 2 * s**2
    return np.divide(joint, scale, out=np.zeros_like(joint), where=scale > 0)


def _sums(y: Array, partner: Index) -> Array:
    """Sums over rows of y [N, n] of 1, a^2, b^2, a b, a^2 b^2 and a^4, [6, n]; b: the partner."""
    a, b = y, y[:, partner]
    squares, other = a**2, b**2
    moments = (np.ones_like(a), squares, other, a * b, squares * other, squares**2)
    return np.stack([m.sum(axis=0) for m in moments])


def _kappa(sums: Array) -> Array:
    """kappa from sums [..., 6, n], [..., n]."""
    rows, *rest = np.moveaxis(sums, -2, 0)
    s_a, s_b, s_ab, joint, fourth = (m / rows for m in rest)
    top, bottom = fourth * (s_a * s_b + 2 * s_ab**2), s_a**2 * joint
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
