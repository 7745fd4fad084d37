"""Spherical caps: the share of a sphere within a given cosine of one direction."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincinv

from synthsae.arrays import Array
from synthsae.checks import in_range, whole


def cap_measure(rank: ArrayLike, theta: ArrayLike) -> Array:
    """A_R(theta): probability that a random unit vector in R^R has cosine >= theta with another.

    The squared cosine has a Beta(1/2, (R-1)/2) distribution and its sign is symmetric, so
    A_R(theta) = I_{1-theta^2}((R-1)/2, 1/2) / 2 for theta >= 0 and 1 - A_R(-theta) below (Li 2011,
    "Concise formulas for the area and volume of a hyperspherical cap"). In R^1 the cosine is +-1,
    so A_1 = 1/2 for -1 < theta <= 1. A_R(-1) = 1.

    Args:
        rank: R, a whole number of 1 or more.
        theta: cosine, in [-1, 1].

    Returns:
        The probability; arguments broadcast, and scalars give a 0-d array.
    """
    return _cap(whole("rank", rank), in_range("theta", theta, -1, 1))


def _cap(rank: ArrayLike, theta: ArrayLike) -> Array:
    """`cap_measure` for real ranks >= 1, which the formula allows, without checks."""
    r, t = np.broadcast_arrays(np.asarray(rank, dtype=float), np.asarray(theta, dtype=float))
    a = np.where(r > 1, (r - 1) / 2, 1.0)
    half = np.where(r > 1, betainc(a, 0.5, (1 - t) * (1 + t)) / 2, 0.5)
    return np.where(t == -1, 1.0, np.where(t < 0, 1 - half, half))


def cap_angle(rank: ArrayLike, measure: ArrayLike) -> Array:
    """The angle phi in [0, pi], in radians, with A_R(cos phi) = `measure`, for R >= 2.

    The inverse of `cap_measure`: sin^2 phi = I^{-1}_{2 measure}((R-1)/2, 1/2), reflected above 1/2.
    Arguments broadcast.
    """
    r, p = whole("rank", rank, 2), in_range("measure", measure, 0, 1)
    phi = np.arcsin(np.sqrt(betaincinv((r - 1) / 2, 0.5, 2 * np.minimum(p, 1 - p))))
    return np.where(p > 0.5, np.pi - phi, phi)
