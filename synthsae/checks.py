"""Checks of config fields: an error names the field, the value and what is allowed, in a line."""

import re
from collections.abc import Collection, Iterable
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from math import inf, isinf
from numbers import Integral, Real
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

KINDS = {" | None": " or none", "int": "an integer", "float": "a number"}
KINDS |= {"bool": "true or false", "str": "a name"}
LARGEST = 2**63 - 1
"""The largest integer that NumPy, PyTorch and netCDF hold."""


class Shown(str):
    """What a message says of a value that is too long for it, such as an array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ConfigError(ValueError):
    """A field, an argument, an option or a file holds what is not allowed; the message is a line.

    Attributes:
        field: what holds it: a dotted field name, an argument, an option, or a path.
        value: what it holds; of an array in words (`Shown`).
        allowed: what it may hold, in words.
    """

    def __init__(self, name: str, value: object, allowed: str):
        self.field, self.value, self.allowed = name, value, allowed
        line = re.sub(r"\s*\n\s*", " ", f"{name}: {value!r}; allowed: {allowed}")
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))


def typed(prefix: str, config: Any) -> None:
    """Raise ConfigError unless the fields of a dataclass are of their types; see `of_type`."""
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
    """`value` as a field of that type holds it: NumPy's numbers become Python's, and an integer
    will do for a number. Raises TypeError for a value of another type, and OverflowError for a
    number beyond 64 bits.
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
    """A field's type in words; with its size where `error` says that a number is beyond it."""
    words = str(getattr(kind, "__name__", kind))
    for code, word in KINDS.items():
        words = words.replace(code, word)
    return f"{words}, of 64 bits at most" if isinstance(error, ArithmeticError) else words


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`; it names the nearest of them."""
    if value not in choices:
        raise ConfigError(name, value, ", ".join(choices) + nearest(value, choices))


def nearest(value: object, choices: Iterable[str]) -> str:
    """The choice that a misspelt `value` may mean, as the end of a message; "" for none."""
    found = closest(value, choices)
    return f"; did you mean {found}?" if found else ""


def closest(value: object, choices: Iterable[str]) -> str | None:
    """The choice that a misspelt `value` may mean, in capitals or not; None for none.

    Of a dotted name the last part will do: `rank` may mean `world.rank`.
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
    """Raise ConfigError unless low <= value <= high (low < value where strict); None passes."""
    if value is None:
        return
    if isinstance(value, float) and isinf(value):
        raise ConfigError(name, value, "a finite number")
    if not ((low < value if strict else low <= value) and value <= high):
        bound = f"above {low:g}" if strict else f"{low:g} or more"
        most = str(high) if isinstance(high, int) else f"{high:g}"  # `:g` rounds a large integer
        raise ConfigError(name, value, bound if high == inf else f"{bound}, at most {most}")


def numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """`value`, an array of NumPy's or torch's, as float64; masked entries become NaN.

    Raises ConfigError for what is not an array of real numbers; NaN and infinities pass.
    """
    x = plain(name, value)
    if x.dtype.kind not in "fiub":
        given = Shown(f"{x.dtype} of shape {x.shape}") if x.ndim else value
        raise ConfigError(name, given, "real numbers")
    return np.ma.filled(x.astype(np.float64, copy=False), np.nan)


def plain(name: str, value: Any) -> NDArray[Any]:
    """`value` as a NumPy array: a tensor without its gradient, from any device and of any dtype."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.double() if value.is_floating_point() else value
        return np.asanyarray(value) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = Shown(f"a {type(value).__name__}")
        raise ConfigError(name, kind, f"an array of numbers ({error})") from error


def real(name: str, value: Any) -> float:
    """A real number of any type as Python's; NaN passes."""
    try:
        if isinstance(value, str | bytes | complex):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(name, value, "a number") from error
