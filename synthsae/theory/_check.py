"""Argument checks of the predictions: one line that says the argument, what came, what may."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, numbers, plain

Rng = np.random.Generator | int  # a generator, or a seed for a fresh one


def whole(name: str, value: ArrayLike, least: int = 1) -> NDArray[np.int64]:
    """`value` as integers, all of them at least `least`."""
    n = numbers(name, value)
    bad = n[~((n >= least) & (n == np.floor(n)) & np.isfinite(n))]
    if bad.size:
        raise ConfigError(name, Shown(f"{bad.flat[0]:g}"), f"whole numbers >= {least}")
    return n.astype(np.int64)


def real(name: str, value: ArrayLike, low: float = -np.inf, high: float = np.inf) -> Array:
    """`value` as finite floats in [low, high]."""
    x = numbers(name, value)
    bad = x[~((x >= low) & (x <= high) & np.isfinite(x))]
    if bad.size:
        raise ConfigError(name, Shown(f"{bad.flat[0]:g}"), f"numbers in [{low:g}, {high:g}]")
    return x


def shape(name: str, value: NDArray[Any], expected: tuple[int | None, ...]) -> None:
    """`value` has the `expected` shape, in which None stands for any length."""
    if value.ndim != len(expected) or any(
        e is not None and e != n for e, n in zip(expected, value.shape, strict=True)
    ):
        want = ", ".join("any" if e is None else str(e) for e in expected)
        raise ConfigError(name, Shown(f"shape {value.shape}"), f"({want})")


def array(name: str, value: ArrayLike, expected: tuple[int | None, ...]) -> Array:
    """`value` as finite floats of the `expected` shape."""
    x = numbers(name, value)
    shape(name, x, expected)
    if not np.isfinite(x).all():
        raise ConfigError(name, Shown(f"non-finite values in shape {x.shape}"), "finite numbers")
    return x


def mask(name: str, value: ArrayLike, expected: tuple[int, ...]) -> NDArray[np.bool_]:
    """`value` as truth values of the `expected` shape."""
    x = plain(name, value)
    shape(name, x, expected)
    if x.dtype != bool:
        raise ConfigError(name, Shown(f"{x.dtype} of shape {x.shape}"), "bool")
    return x


def orthonormal(name: str, basis: ArrayLike, tolerance: float = 1e-5) -> Array:
    """`basis` [D, R] as floats with orthonormal columns."""
    u = array(name, basis, (None, None))
    gap = np.abs(u.T @ u - np.eye(u.shape[1])).max(initial=0.0)
    if not gap <= tolerance or u.shape[1] == 0:
        given = Shown(f"shape {u.shape}, columns off orthonormal by {gap:.2g}")
        raise ConfigError(name, given, f"at least one column, off by <= {tolerance:g}")
    return u
