"""From a model's name to a folder of its files. This is the only door to the network.

A folder is taken as it is; of a hub name the safetensors, the configuration and the tokenizer are
downloaded (or found in Hugging Face's cache) and the folder of that revision is used.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from synthsae.checks import ConfigError

SMALL = ["*.json", "*.txt", "*.model"]
"""Configuration and tokenizer."""
WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
WIDTH = ("hidden_size", "n_embd", "d_model")
DEPTH = ("num_hidden_layers", "n_layer", "num_layers")
LENGTH = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
"""What models call their width D, number of blocks and longest context."""


@dataclass(frozen=True)
class Facts:
    """What a model's `config.json` says."""

    d_model: int
    n_layers: int
    max_context: int


@cache
def facts(model: str) -> Facts:
    """What is known of a model before its weights are loaded. Raises ConfigError."""
    path = folder(model, SMALL) / "config.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found = found.get("text_config") or found
        width, depth, length = (
            next((int(found[k]) for k in keys if found.get(k)), 0)
            for keys in (WIDTH, DEPTH, LENGTH)
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError("source.model", model, f"a folder with a config.json ({error})") from None
    if not (width and depth):
        text = f"a language model; its config.json has none of {', '.join(WIDTH + DEPTH)}"
        raise ConfigError("source.model", model, text)
    return Facts(width, depth, length or 2**31)


def weights(model: str) -> Path:
    """The folder of a model with its weights, which must be safetensors."""
    path = folder(model, SMALL + WEIGHTS)
    if not list(path.glob("*.safetensors")):
        pickles = [p.name for kind in PICKLES for p in path.glob(kind)]
        found = f"pickles, {', '.join(pickles)}, which can run code" if pickles else "none"
        raise ConfigError("source.model", model, f"weights in .safetensors; there are {found}")
    return path


def folder(model: str, patterns: list[str]) -> Path:
    """The folder `model`, or the files of the hub model of that name that match."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ConfigError("source.model", model, "a folder that exists, or a name on the hub")
    return _download(model, tuple(patterns))


@cache
def _download(model: str, patterns: tuple[str, ...]) -> Path:
    """The local folder of a hub model; without a network, what was downloaded before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        got = snapshot_download(model, allow_patterns=list(patterns), ignore_patterns=["*/*"])
    except GatedRepoError:
        text = "a model that you may read: accept its terms on the hub and log in (hf auth login)"
    except (RepositoryNotFoundError, HFValidationError):
        text = "a folder that exists, or the name of a model on the Hugging Face hub"
    except (LocalEntryNotFoundError, OSError):
        text = (
            "with no network, a model that was downloaded before or a local folder (on a machine "
            f"that has a network: hf download {model} --local-dir FOLDER; then --model FOLDER)"
        )
    else:
        return Path(got)
    raise ConfigError("source.model", model, text)


@cache
def revision(dataset: str) -> str:
    """The commit of a dataset on the hub. Raises ConfigError where it cannot be asked."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(dataset).sha)
    except Exception as error:  # no network, no such dataset, not allowed
        kinds = "a file of text, a folder, or a dataset that the hub has"
        why = f"{kinds} ({type(error).__name__}; without a network, a file or a folder)"
        raise ConfigError("source.text", dataset, why) from error
