"""Checks of config fields: an error names the field, the value and what is allowed, in a line."""

import re
from collections.abc import Collection, Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from math import inf, isinf
from numbers import Integral, Real
from typing import Any, get_args

KINDS = {" | None": " or none", "int": "an integer", "float": "a number"}
KINDS |= {"bool": "true or false", "str": "a name"}


class ConfigError(ValueError):
    """A config field, an option or a file holds what is not allowed; the message is one line.

    Attributes:
        field: what holds it: a dotted field name, an option, or a path.
        value: what it holds.
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
        try:
            object.__setattr__(config, f.name, of_type(value, f.type))
        except (TypeError, OverflowError) as error:
            raise ConfigError(prefix + f.name, value, in_words(f.type)) from error


def of_type(value: Any, kind: Any) -> Any:
    """`value` as a field of that type holds it: NumPy's numbers become Python's, and an integer
    will do for a number. Raises TypeError for a value of another type.
    """
    kinds = get_args(kind) or (kind,)
    if type(value) in kinds:
        return value
    if isinstance(value, Integral) and int in kinds and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Real) and float in kinds and not isinstance(value, bool):
        return float(value)
    raise TypeError(value)


def in_words(kind: Any) -> str:
    """A field's type in words."""
    words = str(getattr(kind, "__name__", kind))
    for code, word in KINDS.items():
        words = words.replace(code, word)
    return words


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`; it names the nearest of them."""
    if value not in choices:
        raise ConfigError(name, value, ", ".join(choices) + nearest(value, choices))


def nearest(value: object, choices: Iterable[str]) -> str:
    """The choice that a misspelt `value` may mean, as the end of a message; "" for none."""
    lower = {choice.lower(): choice for choice in choices}
    found = get_close_matches(str(value).lower(), lower, n=1)
    return f"; did you mean {lower[found[0]]}?" if found else ""


def within(
    name: str, value: float | None, low: float, high: float = inf, *, strict: bool = False
) -> None:
    """Raise ConfigError unless low <= value <= high (low < value where strict); None passes."""
    if value is None:
        return
    if isinf(value):
        raise ConfigError(name, value, "a finite number")
    if not ((low < value if strict else low <= value) and value <= high):
        bound = f"above {low:g}" if strict else f"{low:g} or more"
        raise ConfigError(name, value, bound if high == inf else f"{bound}, at most {high:g}")
