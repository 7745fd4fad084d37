"""What a study needs of its cells, checked when it is planned, before anything is trained.

A need is a function of the configs of all cells that raises ConfigError. Those about a planted
world say nothing of cells whose activations come from elsewhere.
"""

from collections.abc import Callable, Sequence

from synthsae.checks import ConfigError
from synthsae.config import Config

Need = Callable[[Sequence[Config]], None]


def blocks(configs: Sequence[Config]) -> None:
    """Planted blocks in every cell."""
    _more_than_none("world.n_blocks", configs)


def isolated(configs: Sequence[Config]) -> None:
    """Isolated features in every cell."""
    _more_than_none("world.n_isolated", configs)


def one_law(law: str) -> Need:
    """Blocks whose codes have that law, in every cell."""

    def need(configs: Sequence[Config]) -> None:
        blocks(configs)
        for config in configs:
            if config.planted and config.world.law != law:
                raise ConfigError("world.law", config.world.law, f"{law}: the study is about it")

    return need


def several(field: str) -> Need:
    """Two values or more of a field."""

    def need(configs: Sequence[Config]) -> None:
        values = {config.get(field) for config in configs}
        if len(values) < 2:
            text = "two values or more: the study compares them"
            raise ConfigError(field, ", ".join(map(str, values)), text)

    return need


def each_of(field: str, *wanted: str) -> Need:
    """Cells with each of these values of a field."""

    def need(configs: Sequence[Config]) -> None:
        values = {config.get(field) for config in configs}
        if not values >= set(wanted):
            allowed = f"{' and '.join(wanted)}: the study compares them"
            raise ConfigError(field, ", ".join(sorted(values)), allowed)

    return need


def _more_than_none(field: str, configs: Sequence[Config]) -> None:
    for config in configs:
        if config.planted and config.get(field) == 0:
            raise ConfigError(field, 0, "1 or more: the study is about them")
