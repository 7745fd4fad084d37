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

from synthsae.checks import (
    LARGEST,
    ConfigError,
    in_words,
    nearest,
    of_type,
    one_of,
    type_of,
    typed,
    within,
)
from synthsae.config.kinds import Kind, kind_of
from synthsae.config.sources import FIELDS, NAMING, SourceConfig
from synthsae.definitions import Definitions
from synthsae.deprecated import as_hashed, current_names
from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.sae.base import allowed_options, options_of
from synthsae.train import ActivationSource, TrainConfig
from synthsae.world import WorldConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 3
"""Version of a cell's file; cells of another version are computed again."""

NEW = {"spectrum": 1, "block_angle": 90, "blocks_per_gate": 1, "circle_density": 1}
"""Fields of a world that 0.1 did not have, and their defaults."""

OPTIONS = "sae.options"
"""The section whose fields depend on another field, `sae.arch`."""

UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9}
"""Suffix of a number in text -> factor."""

WORDS = {"none": None, "true": True, "false": False}
"""Text in lower case -> value."""

C = TypeVar("C", bound="DataclassInstance")


@dataclass(frozen=True)
class Config:
    """All settings of one cell: source, SAE, training, seeds and definitions.

    The activations are those of `source`, or of the planted `world` where `source` names none. On
    CPUs of one kind, equal configs give equal bits.
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
        """Whether the activations are those of `world`, whose features are known."""
        return self.source.kind == "world"

    @property
    def training(self) -> TrainConfig:
        """`train`, with the number of steps that the source decides (`source.passes`)."""
        return replace(self.train, n_steps=self.kind.n_steps)

    @property
    def decided(self) -> Mapping[str, str]:
        """Fields that have no effect here: dotted name -> why, or what to set in their place.

        They follow from other fields, or belong to a source that is not the one named.
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
        """The classes whose code a training depends on, besides the trainer's."""
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
        """The fields that have an effect, by name; of `source` those of its kind."""
        found = asdict(self) | {"train": asdict(self.training)}
        del found["source"]
        if self.planted:
            return found
        del found["world"], found["world_seed"]
        return found | {"source": self.kind.fields}

    def to_json(self) -> str:
        """`record`, with the identity of the source, as canonical JSON."""
        source = {} if self.planted else {"source": self.kind.identity}
        return json.dumps(self.record() | source, sort_keys=True)

    @property
    def hashed(self) -> str:
        """`to_json` with the field names of 0.1, so that hashes of configs stay the same.

        A field that 0.1 did not have is left out at its default.
        """
        found = json.loads(self.to_json())
        if "world" in found:
            found["world"] = {
                n: v for n, v in found["world"].items() if n not in NEW or v != NEW[n]
            }
        return json.dumps(found | {"sae": as_hashed(found["sae"])}, sort_keys=True)

    @property
    def trained_by(self) -> str:
        """`hashed` without the definitions, on which a training does not depend."""
        found = json.loads(self.hashed)
        del found["definitions"]
        return json.dumps(found, sort_keys=True)


def digest(*parts: str) -> str:
    """Hash of some strings and of `FORMAT`, 16 hexadecimal digits."""
    return hashlib.sha256("\0".join([str(FORMAT), *parts]).encode()).hexdigest()[:16]


def describe(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted name, value, help) of every field, in the order of the dataclasses.

    Of `sae.options` only those of `sae.arch`; `architecture_options` gives the others.
    """
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from describe(value, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, value, f.metadata.get("help", "")


def architecture_options(sae: SAEConfig | None = None) -> Iterator[tuple[str, Any, str]]:
    """(dotted name, value, help) of the options of every registered architecture.

    Values are the defaults, or those of `sae` for its own architecture. The help begins with the
    architecture's name, or the names of those that share an options class.
    """
    sharing: dict[type, list[str]] = {}
    for arch, architecture in ARCHITECTURES.items():
        sharing.setdefault(architecture.Options, []).append(arch)
    for options, archs in sharing.items():
        own = sae.options if sae and sae.arch in archs else options()
        for name, value, text in describe(own, f"{OPTIONS}."):
            yield name, value, f"{', '.join(archs)}: {text}"


def override(config: C, changes: Mapping[str, Any]) -> C:
    """`config` with some fields changed.

    Args:
        config: a dataclass of fields and of other such dataclasses.
        changes: new values by dotted name, in any order; text is read by the type of its field.

    Raises:
        ConfigError: for a field that does not exist, an option that the architecture does not have,
            a value of another type, and a value that the config itself refuses.
    """
    changes = current_names(changes)
    arch, options = _architecture(config, changes)
    types, values = dict(_types(config, options)), {}
    for name, value in changes.items():
        if name not in types:
            section, _, option = name.rpartition(".")
            if section == OPTIONS and arch:
                raise ConfigError(name, value, allowed_options(arch, option))
            some = ", ".join([k for k in types if k.startswith(f"{name}.")][:3])
            allowed = f"{some} and others" if some else "one of the fields"
            every = [*types, *(option for option, *_ in architecture_options())]
            hint = "" if some else nearest(name, every)
            raise ConfigError("field", name, f"{allowed} that --help lists{hint}")
        kind = types[name]
        try:
            values[name] = of_type(_read(value, kind) if isinstance(value, str) else value, kind)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(name, value, in_words(kind, error)) from error
    return _with(config, values, options)


def _architecture(config: Any, changes: Mapping[str, Any]) -> tuple[str, Any]:
    """The architecture after `changes`, and its options before these change them; "" for none.

    Raises ConfigError where an option of the architecture before is set that this one lacks.
    """
    sae = getattr(config, "sae", None)
    if not isinstance(sae, SAEConfig):
        return "", None
    if not isinstance(arch := changes.get("sae.arch", sae.arch), str):
        return sae.arch, sae.options
    one_of("sae.arch", arch, ARCHITECTURES)
    return arch, options_of(arch, sae.options)


def _types(config: Any, options: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, type) of every field; those of `sae.options` are those of `options`."""
    for f in fields(config):
        name = prefix + f.name
        value = options if name == OPTIONS else getattr(config, f.name)
        if is_dataclass(value):
            yield from _types(value, options, f"{name}.")
        else:
            yield name, type_of(config, f)


def _with(config: C, values: Mapping[str, Any], options: Any, prefix: str = "") -> C:
    """`config` with `values` by dotted name; those of `sae.options` change `options`."""
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, rest = name.partition(".")
        inner.setdefault(section, {})[rest] = value
    made = {}
    for field_name, changed in inner.items():
        name = prefix + field_name
        before = options if name == OPTIONS else getattr(config, field_name)
        plain = "" in changed
        made[field_name] = changed[""] if plain else _with(before, changed, options, f"{name}.")
    return replace(config, **made)


def _read(text: str, kind: Any) -> Any:
    """The value that `text` gives a field of type `kind`.

    A name stays as it is. Otherwise `none`, `true` and `false` are read in any case, and a number
    may end in k, M or B: 10M.

    Raises:
        ValueError: for text that is not a number.
        OverflowError: for a number that float64 cannot hold.
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
