"""What the config beside the weights of an SAE says: its sizes, and whether signs mean anything.

Read from JSON as SAELens, sparsify, dictionary_learning, OpenMOSS and others write it, and from the
metadata of a safetensors file. A key that is not listed here plays no part.
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
"""Names of D where another key has M, and of M where another has D."""

INSIDE = ("trainer", "sae", "sae_config", "config", "cfg", "model", "autoencoder", "ae")
"""Keys whose objects are read as the config itself."""

ARCHITECTURES = (
    *("architecture", "arch", "sae_type", "dict_class", "activation", "activation_fn"),
    *("activation_fn_str", "activation_function", "act_fn", "nonlinearity"),
)

SYMMETRIC = re.compile(r"abs(olute)?(batch)?topk|topkabs|magnitudetopk|(?<!un)signedtopk")
"""Codes of either sign: a latent and its negative are the same latent."""

ONE_SIGNED = re.compile(
    "batch|topk|jump|relu|gated|standard|vanilla|matryoshka|hierarchical|kron|tanh|tied"
    "|autoencoder|sparse|sae|skip|transcoder|crosscoder|trainer|torch|modules|activation|new|nn"
)
"""Words of the names of architectures whose codes are never negative, and words that say nothing"""


@dataclass(frozen=True)
class Declared:
    """What configs say of one SAE; None or nothing where they do not say.

    Attributes:
        sizes: (axis "M" or "D" of the decoder, size, where it is declared).
        d_in: width of the encoder, where it is not that of the decoder: a transcoder.
        architectures: names of the architecture and of the activation.
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
        """Architectures of which we do not know whether signs mean anything."""
        names = {} if self.symmetric else dict.fromkeys(self.architectures)
        return tuple(name for name in names if ONE_SIGNED.sub("", _plain(name)))


def read_configs(file: Path, metadata: Mapping[str, str]) -> Declared:
    """What the metadata of `file`, the config `FILE.json` and the configs `FILES` beside it say.

    Raises ConfigError for a config that cannot be read, or holds no size where one should be.
    """
    own = {key: _value(text) for key, text in metadata.items()}
    found = [_from_config(str(file), own)]
    for name in (f"{file.stem}.json", *FILES):
        path = file.with_name(name)
        if path.is_file():
            found.append(_from_config(str(path), load(path)))
    sizes = tuple(size for one in found for size in one.sizes)
    d_in = next((one.d_in for one in found if one.d_in), None)
    return Declared(sizes, d_in, tuple(name for one in found for name in one.architectures))


def load(path: Path) -> dict[str, Any]:
    """The JSON object in a file, in UTF-8, -16 or -32; raises ConfigError for anything else."""
    try:
        with open(path, "rb") as f:
            data = f.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        config = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), str(error), "JSON") from error
    if not isinstance(config, dict):
        raise ConfigError(str(path), type(config).__name__, "a JSON object")
    return config


def _from_config(where: str, config: dict[str, Any]) -> Declared:
    parts = [config, *(config[key] for key in INSIDE if isinstance(config.get(key), dict))]
    names = tuple(name for part in parts for name in _architectures(part))
    size, width = _first(where, parts, SIZES), _first(where, parts, WIDTHS)
    other = _first(where, parts, EITHER)
    if other and bool(size) != bool(width):
        size, width = size or other, width or other
    out = _first(where, parts, ("d_out",))
    if width and not size:
        size = _expanded(parts, *width)
    transcoder = any("transcoder" in _plain(name) for name in names)
    apart = width and (out[0] != width[0] if out else transcoder)
    sizes = (("M", size), ("D", out or (None if apart else width)))
    d_in = width[0] if width and apart else None
    return Declared(tuple((axis, *value) for axis, value in sizes if value), d_in, names)


def _expanded(parts: list[dict[str, Any]], width: int, where: str) -> tuple[int, str] | None:
    """M where a config has it as a multiple of D."""
    for part in parts:
        factor = part.get("expansion_factor")
        if isinstance(factor, int | float) and 0 < factor < 1e9 and factor * width % 1 == 0:
            return int(factor * width), f"expansion_factor {factor} x {where}"
    return None


def _first(
    where: str, parts: list[dict[str, Any]], keys: tuple[str, ...]
) -> tuple[int, str] | None:
    """The first of these keys that says a size, as (size, where); None, 0 and null say nothing."""
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
    """Names of the architecture; an object has its own under `name`, `type` or `class`."""
    for key in ARCHITECTURES:
        value = part.get(key)
        if isinstance(value, dict):
            value = next((value[k] for k in ("name", "type", "class") if k in value), None)
        if value is not None:
            yield str(value)


def _plain(name: str) -> str:
    """The letters of a name in lower case, without what is in brackets."""
    return re.sub(r"[^a-z]", "", re.sub(r"\(.*\)", "", name.lower()))


def _value(text: str) -> Any:
    """What a text of the metadata holds: JSON, or the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
