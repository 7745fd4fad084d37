"""What a harvest is of: the fields and the hashes that determine its bits, but for rounding that
depends on the kind of processor.
"""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

from realdata import arrays, hub, text
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig
from synthsae.train import resolve_device

FORMAT = 2
"""Version of what a harvest's folder holds."""
FIELDS = ["layer", "hook", "tokens", "context", "skip_bos", "held_out"]
FIELDS += ["dtype", "batch", "threads", "special_tokens"]
"""Fields that change a harvest, if only by rounding. Cut, centre and scale come at reading."""


def identity(source: SourceConfig) -> dict[str, Any]:
    """Everything that tells one harvest from another; for arrays, from other arrays."""
    if source.arrays:
        path, tensor = arrays.located(source.arrays)
        return {"arrays": _hash(*_files(path)), "tensor": tensor, "held_out": source.held_out}
    fields = {name: getattr(source, name) for name in FIELDS}
    fields["device"] = resolve_device(source.device, "source.device").type
    return {"format": FORMAT, "model": model(source), "text": words(source), **fields}


def model(source: SourceConfig) -> str:
    """The commit of a hub model, or the hash of a local folder's weights, config and tokenizer."""
    if not Path(source.model).expanduser().is_dir():
        return hub.folder(source.model, hub.SMALL).name
    path = hub.weights(source.model)
    return _hash(*sorted(p for kind in (*hub.SMALL, "*.safetensors") for p in path.glob(kind)))


def words(source: SourceConfig) -> list[str]:
    """The hash of a local text, or the commit of a dataset, and which part of it is read."""
    path = text.local(source)
    found = revision(source.text) if path is None else _hash(*_files(path))
    return [found, source.subset, source.split, source.column]


@cache
def revision(dataset: str) -> str:
    """The commit of a dataset on the hub. Raises ConfigError where it cannot be asked."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(dataset).sha)
    except Exception as error:  # no network, no such dataset, not allowed
        kinds = f"a {text.FILES} file, a folder, or a dataset that the hub has"
        why = f"{kinds} ({type(error).__name__}; without a network, a file or a folder)"
        raise ConfigError("source.text", dataset, why) from error


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _hash(*paths: Path) -> str:
    """SHA-256 of the names and contents of some files."""
    total = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        content = _content(path, stat.st_size, stat.st_mtime_ns)
        total.update(os.fsencode(path.name) + f"\0{content}\0".encode())
    return total.hexdigest()


@cache
def _content(path: Path, size: int, changed: int) -> str:
    """The hash of a file as it was at `changed`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
