"""The configuration of one cell (world, SAE, training, seeds) and how its fields are set."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import reduce
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthsae.checks import ConfigError, within
from synthsae.sae import SAEConfig
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

FORMAT = 2
"""Version of what a cell's file holds; a new one makes old cells be computed again."""


KINDS = {" | None": " or none", "int": "an integer", "float": "a number"}
KINDS |= {"bool": "true or false", "str": "a name"}
"""Types in words, for error messages."""


@dataclass(frozen=True)
class Config:
    """What determines a cell's numbers: on a CPU their bits, but for the kind of processor."""

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

    def __post_init__(self) -> None:
        within("n_seeds", self.n_seeds, 2)
        within("first_seed", self.first_seed, 0)
        within("world_seed", self.world_seed, 0)
        within("eval_samples", self.eval_samples, 2)
        self.sae.for_width(self.world.d_model)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The SAE seeds of this cell, [S]."""
        return tuple(range(self.first_seed, self.first_seed + self.n_seeds))

    def get(self, name: str) -> Any:
        """The value of a field by its dotted name."""
        return reduce(getattr, name.split("."), self)

    def to_json(self) -> str:
        """All fields as canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def digest(*parts: str) -> str:
    """Short hash of some strings and of the file format: the name of a cell."""
    return hashlib.sha256("\0".join([str(FORMAT), *parts]).encode()).hexdigest()[:16]


def describe(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted name, value, help) of every field, in the order of the dataclasses."""
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from describe(value, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, value, f.metadata.get("help", "")


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with the fields of `changes` (by dotted name) set; text is read by the field's type.

    Raises ConfigError for a field that does not exist, a value of another type, and a value that
    the config itself refuses.
    """
    known = {name: value for name, value, _ in describe(config)}
    node = OmegaConf.structured(config)
    OmegaConf.set_readonly(node, False)
    for name, value in changes.items():
        if name not in known:
            raise ConfigError("field", name, ", ".join(known))
        try:
            change = OmegaConf.create()
            OmegaConf.update(change, name, _parse(value))
            node = OmegaConf.merge(node, change)
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            raise ConfigError(name, value, _kind(config, name)) from error
    result = OmegaConf.to_object(node)
    assert isinstance(result, Config)
    return result


def _parse(value: Any) -> Any:
    """Text as YAML reads it, with `none` in any case as None; no interpolation."""
    if not isinstance(value, str):
        return value
    if value.lower() == "none":
        return None
    if "${" in value or value == "???":
        raise yaml.YAMLError(value)
    return yaml.safe_load(re.sub(r"^([+-]?)0+(?=\d)", r"\1", value))  # 010 is ten, not eight


def _kind(config: Config, name: str) -> str:
    """What a field may hold, in words."""
    section, _, last = name.rpartition(".")
    owner = config.get(section) if section else config
    kind = next(f.type for f in fields(owner) if f.name == last)
    words = str(getattr(kind, "__name__", kind))
    for code, word in KINDS.items():
        words = words.replace(code, word)
    return words
