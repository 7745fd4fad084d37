"""Kinds of sources: what a config asks of the one that it names.

A kind registers itself under the name of the field of `source` that names it, as architectures do.
Those of `realdata`, which imports this package, are imported when they are first named.
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
from synthsae.train.source import check
from synthsae.user_code import import_file, in_a_line
from synthsae.world import World

if TYPE_CHECKING:
    from synthsae.config import Config

KINDS: dict[str, "type[Kind]"] = {}
ELSEWHERE = {"model": "realdata.config", "arrays": "realdata.config"}
"""The modules that register the other kinds."""

K = TypeVar("K", bound="type[Kind]")


class Kind(ABC):
    """The source of one config. A class that inherits from this one defines `d_model` and `open`.

    Attributes:
        config: the config that names the source.
        what: the kind in words.
    """

    what: ClassVar[str] = ""

    def __init__(self, config: "Config"):
        self.config = config

    @property
    @abstractmethod
    def d_model(self) -> int:
        """Dimension D of an activation, known without reading any."""

    @abstractmethod
    def open(self) -> ActivationSource:
        """The source itself. Raises ConfigError where it cannot be used."""

    def check(self) -> None:  # noqa: B027
        """Raise ConfigError for what can be known to be wrong without reading the source."""

    @property
    def n_steps(self) -> int:
        """Steps of a training."""
        return self.config.train.n_steps

    @property
    def identity(self) -> dict[str, Any]:
        """What tells its numbers from those of another source, as JSON holds it."""
        return self.fields

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of `source` that this kind has, and its name."""
        kind, every = self.config.source.kind, asdict(self.config.source)
        return {name: every[name] for name in (kind, *FIELDS[kind])}

    @property
    def decided(self) -> Mapping[str, str]:
        """Fields of the config that follow from others here, and how to set them all the same."""
        return {}

    @property
    def code(self) -> tuple[type, ...]:
        """The classes whose code a training on this source depends on."""
        return (type(self),)


def register(name: str) -> Callable[[K], K]:
    """Make a class the kind of source that `source.NAME` names."""

    def add(cls: K) -> K:
        KINDS[name] = cls
        return cls

    return add


def kind_of(name: str) -> "type[Kind]":
    """The kind of that name."""
    if name not in KINDS:
        import_module(ELSEWHERE[name])
    return KINDS[name]


@register("world")
class Planted(Kind):
    """The planted world of `config.world`, where no other source is named."""

    what = "a planted world"

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.config.world.d_model

    def open(self) -> World:
        """The world."""
        return World.plant(self.config.world, seed=self.config.world_seed)


@register("file")
class Own(Kind):
    """A class of the user's: FILE.py:CLASS, made without arguments.

    Its file and the modules beside it are among the code of a training, so an edit trains again.
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
        """One of the class. Raises ConfigError, with file and line, for what it raises."""
        made = self._class
        try:
            source = made()
        except Exception as error:  # whatever the class raises
            why = f"a class that is made without arguments ({in_a_line(error)})"
            raise ConfigError("source.file", self._named, why) from error
        check(source)
        return source

    @property
    def identity(self) -> dict[str, Any]:
        """The names of file and class, wherever the file is: what they say is code."""
        path, _, name = self._named.rpartition(":")
        return {"file": f"{Path(path).name}:{name}"}

    @property
    def code(self) -> tuple[type, ...]:
        """This kind, and the class."""
        return (*super().code, self._class)

    @property
    def _named(self) -> str:
        return self.config.source.file

    @property
    def _class(self) -> type:
        """The class itself, from its file as it is now."""
        path, _, name = self._named.rpartition(":")
        if not (path.endswith(".py") and Path(path).is_file()):
            raise ConfigError("source.file", self._named, "FILE.py:CLASS, of a file that is there")
        found = getattr(import_file(Path(path), "source.file"), name, None)
        if not isinstance(found, type):
            raise ConfigError("source.file", self._named, f"the name of a class that {path} has")
        return found
