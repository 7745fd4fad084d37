"""Checks of scores of seeds, and the p-value, for intervals and tests."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, array, finite, numbers, of_shape


def p_value(observed: Array, null: Array) -> Array:
    """One-sided permutation p-value, (1 + #{null >= observed}) / (1 + n), [...].

    Draws that equal `observed` up to rounding count as equal.

    Args:
        observed: the observed statistic, [...].
        null: n draws of its null distribution, [..., n].
    """
    tolerance = 1e-12 * np.maximum(1, np.abs(observed))
    return (1 + (null >= (observed - tolerance)[..., None]).sum(axis=-1)) / (1 + null.shape[-1])


def per_seed(name: str, values: ArrayLike) -> Array:
    """`values` [..., S] as finite float64. Raises ConfigError for fewer than two seeds."""
    x = array(name, values, "[..., S]")
    if x.shape[-1] < 2:
        raise ConfigError(name, Shown(f"shape {x.shape}"), "2 or more seeds on the last axis")
    return x


def per_pair(name: str, matrix: ArrayLike) -> Array:
    """A copy of `matrix` [..., S, S] in float64, with zeros on the diagonal.

    Raises ConfigError for fewer than two seeds, and for other entries that are not finite.
    """
    x = numbers(name, matrix).copy()
    of_shape(name, x, "[..., S, S]")
    if x.shape[-1] < 2:
        raise ConfigError(name, Shown(f"shape {x.shape}"), "2 or more seeds")
    x[..., np.arange(x.shape[-1]), np.arange(x.shape[-1])] = 0.0
    finite(name, x)
    return x
