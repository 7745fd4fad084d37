"""What every measure asks of its arguments: one-line errors that name argument, value and range."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def array(name: str, value: ArrayLike, shape: str) -> Array:
    """`value` as a finite float64 array with the core dimensions of `shape`, such as "[..., M, D]".

    A `shape` that starts with "..." allows any number of leading dimensions.
    """
    x = np.asarray(value)
    letters = shape.strip("[]").split(", ")
    leading = letters[0] == "..."
    core = len(letters) - leading
    if x.dtype.kind not in "fiub" or (x.ndim < core if leading else x.ndim != core):
        raise ValueError(f"{name}: {x.dtype} of shape {x.shape}; allowed: real numbers {shape}")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise ValueError(f"{name}: {bad} non-finite values in shape {x.shape}; allowed: finite")
    return x.astype(np.float64, copy=False)


def same(name: str, got: tuple[int, ...], other: str, want: tuple[int, ...]) -> None:
    """Two (parts of) shapes that have to be equal."""
    if got != want:
        raise ValueError(f"{name}: shape {got}; allowed: {want}, that of {other}")


def broadcastable(name: str, got: tuple[int, ...], other: str, want: tuple[int, ...]) -> None:
    """Two leading shapes that have to broadcast."""
    try:
        np.broadcast_shapes(got, want)
    except ValueError:
        raise ValueError(
            f"{name}: leading shape {got}; allowed: any that broadcasts with {want} of {other}"
        ) from None


def mask(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> Mask:
    """A boolean array of exactly `shape`; None means everything is True."""
    if value is None:
        return np.ones(shape, dtype=bool)
    x = np.asarray(value)
    if x.dtype != bool or x.shape != shape:
        raise ValueError(f"{name}: {x.dtype} of shape {x.shape}; allowed: bool of shape {shape}")
    return x


def between(name: str, value: float, low: float, high: float) -> float:
    """A number in [low, high]; NaN is none."""
    if not low <= value <= high:
        raise ValueError(f"{name}: {value}; allowed: {low:g} to {high:g}")
    return float(value)


def at_least(name: str, value: int, low: int) -> int:
    """An integer >= low."""
    if int(value) != value or value < low:
        raise ValueError(f"{name}: {value}; allowed: whole numbers from {low}")
    return int(value)


def seeds(name: str, shape: tuple[int, ...]) -> None:
    """A leading seed axis with something to compare."""
    if shape[0] < 2:
        raise ValueError(f"{name}: {shape[0]} seeds in shape {shape}; allowed: 2 or more")
