"""Read the config beside the weights of an SAE: its sizes, and whether its codes have a sign.

Configs are JSON files as SAELens, sparsify, dictionary_learning, OpenMOSS and others write them,
and the metadata of safetensors files. Keys that are not listed here are ignored.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthsae.checks import ConfigError

FILES = (
    *("cfg.json", "config.json", "sae_config.json", "ae_config.json", "trainer_config.json"),
    "hyperparams.json",
)
LARGEST = 10_000_000  # bytes of a config

WIDTHS = (
    *("d_in", "activation_dim", "d_submodule", "input_dim", "input_size", "n_inputs", "d_model"),
)
SIZES = (
    *("d_sae", "dict_size", "dictionary_size", "num_latents", "n_latents", "latent_dim", "d_dict"),
    *("nb_concepts", "n_learned_features", "n_features", "num_features"),
)
EITHER = ("hidden_dim", "hidden_size", "d_hidden")
"""Keys that hold D where another key holds M, and M where another key holds D."""

INSIDE = ("trainer", "sae", "sae_config", "config", "cfg", "model", "autoencoder", "ae")
"""Keys of nested objects that are read as if they were the config itself."""

ARCHITECTURES = (
    *("architecture", "arch", "sae_type", "dict_class", "activation", "activation_fn"),
    *("activation_fn_str", "activation_function", "act_fn", "nonlinearity"),
)

SYMMETRIC = re.compile(r"abs(olute)?(batch)?topk|topkabs|magnitudetopk|(?<!un)signedtopk")
"""Architectures whose codes have either sign: a latent and its negative are the same latent."""

ONE_SIGNED = re.compile(
    "batch|topk|jump|relu|gated|standard|vanilla|matryoshka|hierarchical|kron|tanh|tied"
    "|autoencoder|sparse|sae|skip|transcoder|crosscoder|trainer|torch|modules|activation|new|nn"
)
"""Words in the names of architectures with codes >= 0, and words that say nothing about signs."""


@dataclass(frozen=True)
class Declared:
    """What configs declare of one SAE; None or empty where they declare nothing.

    Attributes:
        sizes: tuples of the decoder axis, "M" or "D", its size, and the key that declares it.
        d_in: input width of a transcoder, whose encoder is not as wide as its decoder.
        architectures: names of the architecture and of the activation function.
    """

    sizes: tuple[tuple[str, int, str], ...] = ()
    d_in: int | None = None
    architectures: tuple[str, ...] = ()

    @property
    def symmetric(self) -> bool:
        """Whether a latent and its negative are the same latent."""
        return any(SYMMETRIC.search(_plain(name)) for name in self.architectures)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Architectures of which it is not known whether codes have either sign."""
        names = {} if self.symmetric else dict.fromkeys(self.architectures)
        return tuple(name for name in names if ONE_SIGNED.sub("", _plain(name)))


def read_configs(file: Path, metadata: Mapping[str, str]) -> Declared:
    """What the metadata of `file`, the config `FILE.json` and the configs `FILES` beside it say.

    Of a file in a folder `checkpoints`, the configs are also beside that folder.

    Raises ConfigError for a config that cannot be read, and for a size that is no whole number.
    """
    own = {key: _value(text) for key, text in metadata.items()}
    found = [_from_config(str(file), own)]
    beside = [file.with_name(name) for name in (f"{file.stem}.json", *FILES)]
    if file.parent.name == "checkpoints":
        beside += [file.parent.with_name(name) for name in FILES]
    for path in beside:
        if path.is_file():
            found.append(_from_config(str(path), load(path)))
    sizes = tuple(size for one in found for size in one.sizes)
    d_in = next((one.d_in for one in found if one.d_in), None)
    return Declared(sizes, d_in, tuple(name for one in found for name in one.architectures))


def load(path: Path) -> dict[str, Any]:
    """The JSON object in a file (UTF-8, UTF-16 or UTF-32); raises ConfigError otherwise."""
    try:
        with open(path, "rb") as f:
            data = f.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        config = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), str(error), "a JSON file that can be read") from error
    if not isinstance(config, dict):
        raise ConfigError(str(path), type(config).__name__, "a JSON object")
    return config


def _from_config(where: str, config: dict[str, Any]) -> Declared:
    """What one config, found in the file `where`, declares."""
    parts = [config, *(config[key] for key in INSIDE if isinstance(config.get(key), dict))]
    names = tuple(name for part in parts for name in _architectures(part))
    size, width = _first(where, parts, SIZES), _first(where, parts, WIDTHS)
    other = _first(where, parts, EITHER)
    if other and bool(size) != bool(width):
        size, width = size or other, width or other
    out = _first(where, parts, ("d_out",))
    if width and not size:
        size = _expanded(parts, *width)
    named_so = any("transcoder" in _plain(name) for name in names)
    transcodes = width and (out[0] != width[0] if out else named_so)
    sizes = (("M", size), ("D", out or (None if transcodes else width)))
    d_in = width[0] if width and transcodes else None
    return Declared(tuple((axis, *value) for axis, value in sizes if value), d_in, names)


def _expanded(parts: list[dict[str, Any]], width: int, where: str) -> tuple[int, str] | None:
    """M and its origin, where a config gives M as a multiple of D."""
    for part in parts:
        factor = part.get("expansion_factor")
        if isinstance(factor, int | float) and 0 < factor < 1e9 and factor * width % 1 == 0:
            return int(factor * width), f"expansion_factor {factor} x {where}"
    return None


def _first(
    where: str, parts: list[dict[str, Any]], keys: tuple[str, ...]
) -> tuple[int, str] | None:
    """The first size under one of `keys`, as (size, key and file); 0 and null are ignored."""
    for key in keys:
        for part in parts:
            value = part.get(key)
            if value is None or value == 0:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
                raise ConfigError(f"{where}: {key}", value, "a whole number, 1 or more")
            if not 0 < value < 2**63:
                raise ConfigError(f"{where}: {key}", value, "a whole number, 1 or more")
            return int(value), f"{key} in {where}"
    return None


def _architectures(part: dict[str, Any]) -> Iterator[str]:
    """Names of the architecture; in an object the name is under `name`, `type` or `class`."""
    for key in ARCHITECTURES:
        value = part.get(key)
        if isinstance(value, dict):
            value = next((value[k] for k in ("name", "type", "class") if k in value), None)
        if value is not None:
            yield str(value)
    if part.get("signed") is True:  # sparsify before 2025: the largest magnitudes, with signs
        yield "signed topk"


def _plain(name: str) -> str:
    """The letters of a name in lower case, without any part in brackets."""
    return re.sub(r"[^a-z]", "", re.sub(r"\(.*\)", "", name.lower()))


def _value(text: str) -> Any:
    """The value of a metadata text: parsed JSON, or the text where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
