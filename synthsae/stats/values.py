"""What intervals, tests and nulls ask of numbers, and the p-value that they share."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, numbers

Rng = np.random.Generator | int  # a generator, or a seed for a fresh one


def p_value(observed: Array, null: Array) -> Array:
    """(1 + #{null >= observed}) / (1 + draws), draws last; ties count up to rounding."""
    slack = 1e-12 * np.maximum(1, np.abs(observed))
    return (1 + (null >= (observed - slack)[..., None]).sum(axis=-1)) / (1 + null.shape[-1])


def finite(name: str, values: ArrayLike, least: int = 2) -> Array:
    """`values` as finite floats with at least `least` seeds on the last axis."""
    x = numbers(name, values)
    if x.ndim < 1 or x.shape[-1] < least:
        allowed = f"{least} or more seeds on the last axis"
        raise ConfigError(name, Shown(f"shape {x.shape}"), allowed)
    all_finite(name, x)
    return x


def all_finite(name: str, x: Array) -> None:
    """Refuse NaN and infinities."""
    bad = int((~np.isfinite(x)).sum())
    if bad:
        given = Shown(f"{bad} non-finite in shape {x.shape}")
        raise ConfigError(name, given, "finite numbers (leave out a seed that has none)")


def square(matrix: ArrayLike) -> Array:
    """A copy of `matrix` [..., S, S] with a diagonal of zeros, finite beside it."""
    x = numbers("matrix", matrix).copy()
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ConfigError("matrix", Shown(f"shape {x.shape}"), "[..., S, S]")
    x[..., np.arange(x.shape[-1]), np.arange(x.shape[-1])] = 0.0
    return finite("matrix", x)
