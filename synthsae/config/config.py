"""The configuration of one cell (source, SAE, training, seeds, definitions), and its fields."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from decimal import Decimal
from functools import reduce
from math import isinf
from typing import TYPE_CHECKING, Any, TypeVar

from synthsae.checks import LARGEST, ConfigError, in_words, nearest, of_type, typed, within
from synthsae.config.kinds import Kind, kind_of
from synthsae.config.sources import FIELDS, NAMING, SourceConfig
from synthsae.definitions import Definitions
from synthsae.sae import SAEConfig
from synthsae.train import ActivationSource, TrainConfig
from synthsae.world import WorldConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 3
"""Version of the format of a cell's file. Cells of an older format are computed again."""

UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9}
WORDS = {"none": None, "true": True, "false": False}

C = TypeVar("C", bound="DataclassInstance")


@dataclass(frozen=True)
class Config:
    """Everything that determines the numbers of a cell; on CPUs of one kind, their bits.

    Activations come from `source`, or from the planted `world` if `source` names none.
    """

    world: WorldConfig = field(default_factory=WorldConfig)
    sae: SAEConfig = field(default_factory=SAEConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    n_seeds: int = field(default=8, metadata={"help": "SAEs S trained on the world"})
    first_seed: int = field(
        default=0, metadata={"help": "seed of the first SAE (start and data); the others follow"}
    )
    world_seed: int = field(
        default=0, metadata={"help": "seed of what is planted (the seeds of the data stay)"}
    )
    eval_samples: int = field(
        default=32768, metadata={"help": "held-out samples for firing rates and explained variance"}
    )
    source: SourceConfig = field(default_factory=SourceConfig)
    definitions: Definitions = field(default_factory=Definitions)

    def __post_init__(self) -> None:
        typed("", self)
        self.kind.check()
        within("n_seeds", self.n_seeds, 2)
        within("first_seed", self.first_seed, 0, LARGEST + 1 - self.n_seeds)
        within("world_seed", self.world_seed, 0)
        within("eval_samples", self.eval_samples, 2)
        self.sae.for_width(self.d_model)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The SAE seeds of this cell, [S]."""
        return tuple(range(self.first_seed, self.first_seed + self.n_seeds))

    @property
    def kind(self) -> Kind:
        """The source, as an instance of its kind (`config.kinds`)."""
        return kind_of(self.source.kind)(self)

    @property
    def planted(self) -> bool:
        """Whether activations come from the planted `world`, so that the truth is known."""
        return self.source.kind == "world"

    @property
    def training(self) -> TrainConfig:
        """Training of the SAEs: `train`, with the number of steps that the source implies."""
        return replace(self.train, n_steps=self.kind.n_steps)

    @property
    def decided(self) -> Mapping[str, str]:
        """Fields that have no effect here: dotted name -> reason, or what to set instead.

        Such fields follow from others, or describe a source other than the one in use.
        """
        kind, found = self.kind, dict(self.kind.decided)
        for name in {f.name for f in fields(self.source)} - {*NAMING, *FIELDS[self.source.kind]}:
            others = " or ".join(f"source.{k}" for k in NAMING if name in FIELDS[k])
            found[f"source.{name}"] = f"nothing without {others}: {kind.what} has no {name}"
        if not self.planted:
            for name in ["world_seed", *(n for n, _, _ in describe(self.world, "world."))]:
                found[name] = f"nothing on {kind.what}: only a planted world has that"
        return found

    @property
    def reaches(self) -> tuple[type, ...]:
        """Classes, besides the trainer, whose code a training depends on."""
        return (Config, *self.kind.code)

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.kind.d_model

    def open(self) -> ActivationSource:
        """Open the source of the activations."""
        return self.kind.open()

    def get(self, name: str) -> Any:
        """The value of a field by its dotted name."""
        return reduce(getattr, name.split("."), self)

    def record(self) -> dict[str, Any]:
        """The fields that have an effect here, as a dict; of the source, those of its kind."""
        found = asdict(self) | {"train": asdict(self.training)}
        del found["source"]
        if self.planted:
            return found
        del found["world"], found["world_seed"]
        return found | {"source": self.kind.fields}

    def to_json(self) -> str:
        """Canonical JSON of all that determines a number: `record` and the source's identity."""
        source = {} if self.planted else {"source": self.kind.identity}
        return json.dumps(self.record() | source, sort_keys=True)

    @property
    def trained_by(self) -> str:
        """Canonical JSON of the fields that a training depends on: all except the definitions."""
        found = json.loads(self.to_json())
        del found["definitions"]
        return json.dumps(found, sort_keys=True)


def digest(*parts: str) -> str:
    """Short hash of `parts` and of the file format, which names a cell."""
    return hashlib.sha256("\0".join([str(FORMAT), *parts]).encode()).hexdigest()[:16]


def describe(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield (dotted name, value, help) of every field, in the order of the dataclasses."""
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from describe(value, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, value, f.metadata.get("help", "")


def override(config: C, changes: Mapping[str, Any]) -> C:
    """Copy of `config` with other values of some fields.

    Args:
        config: a config.
        changes: dotted name -> value. A string is parsed as the type of the field.

    Raises:
        ConfigError: for an unknown field, a value of another type, and a value that the config
            refuses.
    """
    known = [name for name, _, _ in describe(config)]
    values = {}
    for name, value in changes.items():
        if name not in known:
            some = ", ".join([k for k in known if k.startswith(f"{name}.")][:3])
            allowed = f"{some} and others" if some else "one of the fields"
            hint = "" if some else nearest(name, known)
            raise ConfigError("field", name, f"{allowed} that --help lists{hint}")
        kind = field_type(config, name)
        try:
            values[name] = of_type(_read(value, kind) if isinstance(value, str) else value, kind)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(name, value, in_words(kind, error)) from error
    return _with(config, values)


def _with(config: C, values: Mapping[str, Any]) -> C:
    """Copy of `config` with `values` by dotted name."""
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, rest = name.partition(".")
        inner.setdefault(section, {})[rest] = value
    made = {f: v[""] if "" in v else _with(getattr(config, f), v) for f, v in inner.items()}
    return replace(config, **made)


def _read(text: str, kind: Any) -> Any:
    """Parse `text` as a field of type `kind`: `none` in any case is None, 10M is a number, and a
    string field takes the text itself.

    Raises ValueError for text that is no number, and OverflowError for a number beyond 64 bits.
    """
    if kind is str:
        return text
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    parts = re.fullmatch(r"([+-]?\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?)([kMB]?)", text)
    if parts is None:
        return float(text)
    if isinf(float(parts[1])):
        raise OverflowError(text)
    exact = Decimal(parts[1]) * UNITS[parts[2]]
    return int(exact) if exact == int(exact) else float(exact)


def field_type(config: Any, name: str) -> Any:
    """The type of a field, by its dotted name."""
    section, _, rest = name.partition(".")
    if rest:
        return field_type(getattr(config, section), rest)
    return next(f.type for f in fields(config) if f.name == name)
