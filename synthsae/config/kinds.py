"""Kinds of activation sources, and what a config needs to know about each.

A kind registers itself under the name of the field of `source` that names it (`source.model`, for
example). The kinds in `realdata`, which imports this package, are imported when first used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from synthsae.checks import ConfigError
from synthsae.config.sources import FIELDS
from synthsae.train import ActivationSource
from synthsae.train.source import check_source
from synthsae.user_code import import_file, in_a_line
from synthsae.world import World

if TYPE_CHECKING:
    from synthsae.config import Config

KINDS: dict[str, "type[Kind]"] = {}
ELSEWHERE = {"model": "realdata.config", "arrays": "realdata.config"}
"""Kinds that are registered by modules of other packages."""

K = TypeVar("K", bound="type[Kind]")


class Kind(ABC):
    """The source of one config. Subclasses define `d_model` and `open`.

    Attributes:
        config: the config that names the source.
        what: name of the kind in messages.
    """

    what: ClassVar[str] = ""

    def __init__(self, config: "Config"):
        self.config = config

    @property
    @abstractmethod
    def d_model(self) -> int:
        """Dimension D of an activation, without reading any activation."""

    @abstractmethod
    def open(self) -> ActivationSource:
        """Open the source. Raises ConfigError if the source cannot be used."""

    def check(self) -> None:  # noqa: B027
        """Raise ConfigError for mistakes that can be found without reading the source."""

    @property
    def n_steps(self) -> int:
        """Number of optimiser steps of a training."""
        return self.config.train.n_steps

    @property
    def identity(self) -> dict[str, Any]:
        """JSON values that differ whenever the numbers of two sources may differ."""
        return self.fields

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of `source` that this kind uses, by name."""
        kind, every = self.config.source.kind, asdict(self.config.source)
        return {name: every[name] for name in (kind, *FIELDS[kind])}

    @property
    def decided(self) -> Mapping[str, str]:
        """Fields of the config that follow from others here: name -> what to set instead."""
        return {}

    @property
    def code(self) -> tuple[type, ...]:
        """Classes whose code a training on this source depends on."""
        return (type(self),)


def register(name: str) -> Callable[[K], K]:
    """Register the decorated class as the kind of source that `source.NAME` names."""

    def add(cls: K) -> K:
        KINDS[name] = cls
        return cls

    return add


def kind_of(name: str) -> "type[Kind]":
    """The registered kind called `name`."""
    if name not in KINDS:
        import_module(ELSEWHERE[name])
    return KINDS[name]


@register("world")
class Planted(Kind):
    """The planted world `config.world`, used if no other source is named."""

    what = "a planted world"

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.config.world.d_model

    def open(self) -> World:
        """Plant the world."""
        return World.plant(self.config.world, seed=self.config.world_seed)


@register("file")
class Own(Kind):
    """A user's class, FILE.py:CLASS, which is created without arguments.

    A training depends on the code of that file and of the modules beside it: an edit makes the SAEs
    be trained again.
    """

    what = "a source of one's own"
    _widths: ClassVar[dict[type, int]] = {}

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        made = self._class
        if made not in self._widths:
            self._widths[made] = int(self.open().d_model)
        return self._widths[made]

    def open(self) -> ActivationSource:
        """Create an instance. Raises ConfigError, with file and line, if the class raises."""
        made = self._class
        try:
            source = made()
        except Exception as error:  # whatever the class raises
            why = f"a class that is made without arguments ({in_a_line(error)})"
            raise ConfigError("source.file", self._named, why) from error
        check_source(source)
        return source

    @property
    def identity(self) -> dict[str, Any]:
        """File name and class name, without the folder; `code` covers the content."""
        path, _, name = self._named.rpartition(":")
        return {"file": f"{Path(path).name}:{name}"}

    @property
    def code(self) -> tuple[type, ...]:
        """This kind and the user's class."""
        return (*super().code, self._class)

    @property
    def _named(self) -> str:
        return self.config.source.file

    @property
    def _class(self) -> type:
        """The user's class, from the current content of its file."""
        path, _, name = self._named.rpartition(":")
        if not (path.endswith(".py") and Path(path).is_file()):
            raise ConfigError("source.file", self._named, "FILE.py:CLASS, of a file that is there")
        found = getattr(import_file(Path(path), "source.file"), name, None)
        if not isinstance(found, type):
            raise ConfigError("source.file", self._named, f"the name of a class that {path} has")
        return found
