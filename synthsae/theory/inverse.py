"""The coverage law inverted: the rank that a measured p_hat implies."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, between, in_range
from synthsae.definitions import DEFAULTS
from synthsae.theory.caps import _cap

_LARGEST = 1e6  # ranks above are reported as inf


class RankEstimate(NamedTuple):
    """An implied rank with its interval; `rank == high` and `low == 1` where p_hat is 1."""

    rank: Array
    low: Array
    high: Array


def implied_rank(
    p: ArrayLike,
    m: ArrayLike,
    theta: float = DEFAULTS.theta,
    *,
    interval: tuple[ArrayLike, ArrayLike] | None = None,
) -> RankEstimate:
    """The real rank R >= 1 at which min(1, m A_R(theta)) = p.

    A_R falls with R, so the answer is unique for p < 1, and an interval (low, high) of p maps to
    the interval [R(p high), R(p low)] of the rank. At p >= 1 every rank up to the one with m A_R =
    1 is compatible: `rank` is that largest rank, and `low` is 1. Rank 1 is returned for p > m / 2,
    which no block of disjoint caps reaches, and inf for p = 0. Arguments broadcast.

    Args:
        p: measured mean p_hat of a group of latents, in [0, 1].
        m: measured number of latents of the group in a seed.
        theta: least cosine of a match, in (0, 1).
        interval: (low, high) of p, with low <= p <= high.
    """
    theta = between("theta", theta, 0, 1, strict=True)
    size, middle = in_range("m", m, 0), in_range("p", p, 0, 1)
    least, most = (middle, middle) if interval is None else interval
    least, most = in_range("interval[0]", least), in_range("interval[1]", most)
    if np.any(least > middle) or np.any(middle > most):
        raise ConfigError(
            "interval", Shown(f"({least}, {most})"), f"low <= p <= high, p = {middle}"
        )
    low = np.where(most >= 1, 1.0, _invert(np.minimum(most, 1), size, theta))
    high = _invert(np.maximum(least, 0), size, theta)
    return RankEstimate(_invert(middle, size, theta), low, high)


def _invert(p: Array, m: Array, theta: float) -> Array:
    """R with m A_R = p, by bisection on log R: 60 halvings, relative error 1e-15."""
    p, m = np.broadcast_arrays(p, m)
    low, high = np.zeros(p.shape), np.full(p.shape, np.log(_LARGEST))
    for _ in range(60):
        middle = (low + high) / 2
        above = m * _cap(np.exp(middle), theta) >= p
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    rank = np.exp(low)
    return np.where(rank < _LARGEST * (1 - 1e-9), rank, np.inf)
