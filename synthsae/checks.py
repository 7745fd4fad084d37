"""Checks of config fields and arguments: an error names the field, the value, what is allowed.

The first functions check fields of configs, the others arrays and numbers. The `shape` of an array
is written as in docstrings, "[..., M, D]": "..." stands for any leading axes, a letter for any
length, the same letter for the same length, and a number for itself.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from math import inf, isinf
from numbers import Integral, Real
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Array, Index, Mask

KINDS = {" | None": " or none", "int": "an integer", "float": "a number"}
KINDS |= {"bool": "true or false", "str": "a name"}
LARGEST = 2**63 - 1
"""The largest integer that NumPy, PyTorch and netCDF hold."""


class Shown(str):
    """Words that stand in an error message for a value that is too long, such as an array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ConfigError(ValueError):
    """A field, an argument, an option or a file has a value that is not allowed.

    The message is one line: "field: value; allowed: what".

    Attributes:
        field: a dotted field name, an argument, an option, or a path.
        value: the value; of an array a description in words (`Shown`).
        allowed: which values are allowed, in words.
    """

    def __init__(self, name: str, value: object, allowed: str):
        self.field, self.value, self.allowed = name, value, allowed
        line = re.sub(r"\s*\n\s*", " ", f"{name}: {value!r}; allowed: {allowed}")
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))


def typed(prefix: str, config: Any) -> None:
    """Convert the fields of a dataclass to their types by `of_type`; skip nested dataclasses.

    Raises:
        ConfigError: for a field of another type; its name is put after `prefix`.
    """
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            continue
        kind = type_of(config, f)
        try:
            object.__setattr__(config, f.name, of_type(value, kind))
        except (TypeError, OverflowError) as error:
            raise ConfigError(prefix + f.name, value, in_words(kind, error)) from error


def type_of(config: Any, field: "Field[Any]") -> Any:
    """The type of a dataclass's field, also where its file imports `annotations`."""
    return get_type_hints(type(config))[field.name] if isinstance(field.type, str) else field.type


def of_type(value: Any, kind: Any) -> Any:
    """`value` converted to the type `kind` of a field.

    NumPy's numbers become Python's, and an integer is accepted where a float is declared.

    Raises:
        TypeError: for a value of another type.
        OverflowError: for an integer beyond 64 bits.
    """
    kinds = get_args(kind) or (kind,)
    if isinstance(value, Integral) and int in kinds and not isinstance(value, bool):
        if abs(number := int(value)) > LARGEST:
            raise OverflowError(value)
        return number
    if type(value) in kinds:
        return value
    if isinstance(value, Real) and float in kinds and not isinstance(value, bool):
        return float(value)
    raise TypeError(value)


def in_words(kind: Any, error: Exception | None = None) -> str:
    """A field's type in words; an `error` of arithmetic adds that 64 bits are the limit."""
    words = str(getattr(kind, "__name__", kind))
    for code, word in KINDS.items():
        words = words.replace(code, word)
    return f"{words}, of 64 bits at most" if isinstance(error, ArithmeticError) else words


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`; the error names the nearest choice."""
    if value not in choices:
        raise ConfigError(name, value, ", ".join(choices) + nearest(value, choices))


def nearest(value: object, choices: Iterable[str]) -> str:
    """The choice that a misspelt `value` resembles, as the end of a message; "" without one."""
    found = closest(value, choices)
    return f"; did you mean {found}?" if found else ""


def closest(value: object, choices: Iterable[str]) -> str | None:
    """The choice that a misspelt `value` resembles, in upper or lower case; None without one.

    The last part of a dotted choice is enough: `rank` resembles `world.rank`.
    """
    whole = {choice.lower(): choice for choice in choices}
    last = {name.rpartition(".")[2]: choice for name, choice in whole.items()}
    text = str(value).lower()
    tries = (text, whole), (text.rpartition(".")[2], last)
    for cutoff in (1.0, 0.6):
        for wanted, known in tries:
            if found := get_close_matches(wanted, known, n=1, cutoff=cutoff):
                return known[found[0]]
    return None


def within(
    name: str, value: float | None, low: float, high: float = inf, *, strict: bool = False
) -> None:
    """Raise ConfigError unless low <= value <= high (low < value if `strict`); None is accepted."""
    if value is None:
        return
    if isinstance(value, float) and isinf(value):
        raise ConfigError(name, value, "a finite number")
    if not ((low < value if strict else low <= value) and value <= high):
        bound = f"above {low:g}" if strict else f"{low:g} or more"
        most = str(high) if isinstance(high, int) else f"{high:g}"  # `:g` rounds a large integer
        raise ConfigError(name, value, bound if high == inf else f"{bound}, at most {most}")


def numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A NumPy or torch array as float64; masked entries become NaN.

    NaN and infinities are accepted.

    Raises:
        ConfigError: if `value` is no array of real numbers.
    """
    x = plain(name, value)
    if x.dtype.kind not in "fiub":
        given = Shown(f"{x.dtype} of shape {x.shape}") if x.ndim else value
        raise ConfigError(name, given, "real numbers")
    return np.ma.filled(x.astype(np.float64, copy=False), np.nan)


def plain(name: str, value: Any) -> NDArray[Any]:
    """`value` as a NumPy array of any dtype; a tensor is detached and copied to the CPU."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.double() if value.is_floating_point() else value
        return np.asanyarray(value) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = Shown(f"a {type(value).__name__}")
        raise ConfigError(name, kind, f"an array of numbers ({error})") from error


def array(name: str, value: ArrayLike, shape: str) -> Array:
    """`value` as a finite float64 array of `shape`, such as "[..., M, D]" or "[m, 4]"."""
    x = numbers(name, value)
    of_shape(name, x, shape)
    finite(name, x)
    return x


def of_shape(name: str, x: NDArray[Any], shape: str) -> None:
    """Raise ConfigError unless `x` has the `shape`, such as "[..., M, D]" or "[m, 4]"."""
    lengths = shape.strip("[]").split(", ")
    leading = lengths[0] == "..."
    core = lengths[leading:]
    got = x.shape[x.ndim - len(core) :] if leading else x.shape
    want: dict[str, int] = {}
    if len(got) != len(core) or any(
        n != (int(length) if length.isdigit() else want.setdefault(length, n))
        for length, n in zip(core, got, strict=True)
    ):
        raise ConfigError(name, Shown(f"shape {x.shape}"), f"shape {shape}")


def finite(name: str, x: Array) -> None:
    """Raise ConfigError where `x` holds NaN or infinities."""
    if bad := int((~np.isfinite(x)).sum()):
        given = Shown(f"{bad} non-finite values in shape {x.shape}")
        raise ConfigError(name, given, "finite numbers")


def in_range(
    name: str, value: ArrayLike, low: float = -inf, high: float = inf, *, strict: bool = False
) -> Array:
    """`value` as finite float64 numbers from `low` to `high`, in an array of any shape.

    The ends are allowed unless `strict`.
    """
    x = numbers(name, value)
    inside = (low < x) & (x < high) if strict else (low <= x) & (x <= high)
    bad = x[~(inside & np.isfinite(x))]
    if bad.size:
        allowed = f"numbers, {_from_to(low, high, strict)}"
        raise ConfigError(name, Shown(f"{bad.flat[0]:g}"), allowed)
    return x


def whole(name: str, value: ArrayLike, low: float = 1, high: float = inf) -> Index:
    """`value` as integers from `low` to `high`, in an array of any shape; 2.0 is an integer."""
    x = numbers(name, value)
    bad = x[~((x >= low) & (x <= high) & (x == np.floor(x)) & np.isfinite(x))]
    if bad.size:
        raise ConfigError(name, Shown(f"{bad.flat[0]:g}"), f"whole numbers, {_from_to(low, high)}")
    return x.astype(np.intp)


def mask(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> Mask:
    """`value` as a boolean array of exactly `shape`; None stands for True everywhere."""
    if value is None:
        return np.ones(shape, dtype=bool)
    x = plain(name, value)
    if x.dtype != bool or x.shape != shape or isinstance(x, np.ma.MaskedArray):
        given = Shown(f"{x.dtype} of shape {x.shape}")
        raise ConfigError(name, given, f"bool of shape {shape}")
    return x


def real(name: str, value: Any) -> float:
    """A real number of any type as a Python float; NaN and infinities are accepted."""
    try:
        if isinstance(value, str | bytes | complex):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(name, value, "a number") from error


def between(
    name: str, value: float, low: float, high: float = inf, *, strict: bool = False
) -> float:
    """One finite number from `low` to `high`; the ends are allowed unless `strict`."""
    x = real(name, value)
    if not (low < x < high if strict else low <= x <= high) or isinf(x):
        raise ConfigError(name, value if type(value) is int else x, _from_to(low, high, strict))
    return x


def count(name: str, value: int, low: int = 1) -> int:
    """One integer of `low` or more; 2.0 is an integer."""
    x = real(name, value)
    if not x.is_integer() or x < low:
        raise ConfigError(name, value, f"whole numbers, {_from_to(low, inf)}")
    return int(value)


def _from_to(low: float, high: float, strict: bool = False) -> str:
    """The range from `low` to `high` in words; a `strict` one leaves out both ends."""
    if low == -inf:
        return "that are finite" if high == inf else f"{'below' if strict else 'up to'} {high:g}"
    if high == inf:
        return f"above {low:g}" if strict else f"{low:g} or more"
    return f"above {low:g} and below {high:g}" if strict else f"{low:g} to {high:g}"


def same_shape(name: str, got: tuple[int, ...], other: str, want: tuple[int, ...]) -> None:
    """Raise ConfigError unless the shape `got`, or part of a shape, is `want`, that of `other`."""
    if got != want:
        raise ConfigError(name, Shown(f"shape {got}"), f"{want}, that of {other}")


def broadcastable(name: str, got: tuple[int, ...], other: str, want: tuple[int, ...]) -> None:
    """Raise ConfigError unless the leading shapes `got` and `want`, that of `other`, broadcast."""
    try:
        np.broadcast_shapes(got, want)
    except ValueError:
        allowed = f"any that broadcasts with {want} of {other}"
        raise ConfigError(name, Shown(f"leading shape {got}"), allowed) from None


def several_seeds(name: str, shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless the first axis of `shape` has two seeds or more."""
    if shape[0] < 2:
        raise ConfigError(name, Shown(f"{shape[0]} seeds in shape {shape}"), "2 or more")


def orthonormal_columns(name: str, basis: ArrayLike, tolerance: float = 1e-5) -> Array:
    """`basis` [D, R], R >= 1, as float64 whose columns are orthonormal to within `tolerance`."""
    u = array(name, basis, "[D, R]")
    gap = np.abs(u.T @ u - np.eye(u.shape[1])).max(initial=0.0)
    if not gap <= tolerance or u.shape[1] == 0:
        given = Shown(f"shape {u.shape}, columns off orthonormal by {gap:.2g}")
        raise ConfigError(name, given, f"at least one column, off by <= {tolerance:g}")
    return u
