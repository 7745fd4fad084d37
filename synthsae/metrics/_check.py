"""What every measure asks of its arguments: one-line errors that name argument, value and range."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Array, Mask
from synthsae.checks import ConfigError, Shown, numbers, plain, real
from synthsae.geometry import unit


def array(name: str, value: ArrayLike, shape: str) -> Array:
    """`value` as a finite float64 array with the core dimensions of `shape`, such as "[..., M, D]".

    A `shape` that starts with "..." allows any number of leading dimensions.
    """
    x = numbers(name, value)
    letters = shape.strip("[]").split(", ")
    leading = letters[0] == "..."
    core = len(letters) - leading
    if x.ndim < core if leading else x.ndim != core:
        raise ConfigError(name, Shown(f"{x.dtype} of shape {x.shape}"), f"real numbers {shape}")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise ConfigError(name, Shown(f"{bad} non-finite values in shape {x.shape}"), "finite")
    return x


def same(name: str, got: tuple[int, ...], other: str, want: tuple[int, ...]) -> None:
    """Two (parts of) shapes that have to be equal."""
    if got != want:
        raise ConfigError(name, Shown(f"shape {got}"), f"{want}, that of {other}")


def broadcastable(name: str, got: tuple[int, ...], other: str, want: tuple[int, ...]) -> None:
    """Two leading shapes that have to broadcast."""
    try:
        np.broadcast_shapes(got, want)
    except ValueError:
        allowed = f"any that broadcasts with {want} of {other}"
        raise ConfigError(name, Shown(f"leading shape {got}"), allowed) from None


def mask(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> Mask:
    """A boolean array of exactly `shape`; None means everything is True."""
    if value is None:
        return np.ones(shape, dtype=bool)
    x = plain(name, value)
    if x.dtype != bool or x.shape != shape or isinstance(x, np.ma.MaskedArray):
        given = Shown(f"{x.dtype} of shape {x.shape}")
        raise ConfigError(name, given, f"bool of shape {shape}")
    return x


def index(name: str, value: ArrayLike) -> NDArray[np.intp]:
    """An array of positions, of any shape; whole numbers of any type."""
    x = array(name, value, "[...]")
    if (x != np.floor(x)).any():
        raise ConfigError(name, Shown(f"{x.dtype} of shape {x.shape}"), "whole numbers")
    return x.astype(np.intp)


def between(name: str, value: float, low: float, high: float) -> float:
    """A number in [low, high]; NaN is none."""
    x = real(name, value)
    if not low <= x <= high:
        raise ConfigError(name, value if type(value) is int else x, f"{low:g} to {high:g}")
    return x


def at_least(name: str, value: int, low: int) -> int:
    """An integer >= low."""
    x = real(name, value)
    if not x.is_integer() or x < low:
        raise ConfigError(name, value, f"whole numbers from {low}")
    return int(value)


def seeds(name: str, shape: tuple[int, ...]) -> None:
    """A leading seed axis with something to compare."""
    if shape[0] < 2:
        raise ConfigError(name, Shown(f"{shape[0]} seeds in shape {shape}"), "2 or more")


def latents(directions: ArrayLike, live: ArrayLike | None) -> tuple[Array, Mask]:
    """Unit directions [S, M, D] of two seeds or more, and which are live latents, [S, M].

    A row of zeros is no latent.
    """
    x = array("directions", directions, "[S, M, D]")
    seeds("directions", x.shape)
    return unit(x), mask("live", live, x.shape[:2]) & x.any(axis=2)
