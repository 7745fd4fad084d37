"""The rotation null: a score, if the latents of each seed are rotated at random in a subspace."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array, Mask, Rng
from synthsae.checks import (
    ConfigError,
    Shown,
    array,
    count,
    finite,
    mask,
    numbers,
    of_shape,
    orthonormal_columns,
)
from synthsae.geometry import haar
from synthsae.stats.values import p_value

Statistic = Callable[[Array, Mask], ArrayLike]


class Null(NamedTuple):
    """An observed statistic and a summary of its null distribution, [...] each.

    Attributes:
        observed: the observed statistic.
        mean: mean of the draws.
        sd: standard deviation of the draws.
        low: 2.5% quantile of the draws.
        high: 97.5% quantile of the draws.
        p: one-sided p-value; large values of the statistic are extreme.
    """

    observed: Array
    mean: Array
    sd: Array
    low: Array
    high: Array
    p: Array


def rotation_null(
    statistic: Statistic,
    directions: ArrayLike,
    live: ArrayLike,
    basis: ArrayLike | None = None,
    *,
    draws: int = 99,
    rng: Rng = 0,
) -> Array:
    """`statistic` of the directions after random rotations of each seed, [draws, ...].

    The directions of each seed are rotated together in the subspace, by a Haar-random orthogonal
    matrix. Angles within a seed, the part orthogonal to the subspace and the number of live latents
    do not change. Scores of subspaces therefore stay as they are, and scores of latents fall to the
    coverage law.

    Args:
        statistic: a function of directions [S, M, D] and live [S, M].
        directions: decoder directions, [S, M, D].
        live: which latents are live, bool [S, M].
        basis: orthonormal columns that span the subspace, [D, R]; None stands for all of R^D.
        draws: number of draws. In each, every seed is rotated anew.
        rng: a generator or a seed.

    Raises:
        ConfigError: for shapes that do not fit, and a basis that is not orthonormal.
    """
    d = array("directions", directions, "[S, M, D]")
    on = mask("live", live, d.shape[:2])
    u = orthonormal_columns("basis", np.eye(d.shape[-1]) if basis is None else basis)
    of_shape("basis", u, f"[{d.shape[-1]}, R]")
    turns, gen, code, out = count("draws", draws), np.random.default_rng(rng), d @ u, []
    for _ in range(turns):
        turn = haar(u.shape[1], gen, (len(d),)) - np.eye(u.shape[1])
        out.append(np.asarray(statistic(d + code @ turn @ u.T, on), dtype=float))
    return np.array(out)


def null_summary(observed: ArrayLike, null: ArrayLike) -> Null:
    """The observed statistic with mean, sd, quantiles and p-value of its null distribution.

    p = (1 + #{null >= observed}) / (1 + draws), one-sided: large values are extreme. To test for
    small values, negate both arguments.

    Args:
        observed: the observed statistic, [...].
        null: draws of the null distribution, [draws, ...].

    Raises:
        ConfigError: for shapes that do not fit, fewer than two draws, and values that are not
            finite.
    """
    x, draws = numbers("observed", observed), numbers("null", null)
    if draws.ndim < 1 or draws.shape[1:] != x.shape or len(draws) < 2:
        allowed = f"2 draws or more of shape {x.shape}"
        raise ConfigError("null", Shown(f"shape {draws.shape}"), allowed)
    finite("observed", x)
    finite("null", draws)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    p = p_value(x, np.moveaxis(draws, 0, -1))
    return Null(x, draws.mean(axis=0), draws.std(axis=0, ddof=1), low, high, p)
