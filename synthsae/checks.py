"""Checks of config fields: an error names the field, the value and what is allowed, in a line."""

from collections.abc import Collection
from math import inf, isinf


class ConfigError(ValueError):
    """A config field holds a value that is not allowed."""

    def __init__(self, name: str, value: object, allowed: str):
        super().__init__(f"{name}: {value!r}; allowed: {allowed}")


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(name, value, ", ".join(choices))


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
