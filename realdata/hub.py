"""Find the files of a model, and ask the Hugging Face hub for models and revisions.

A local folder is used as it is. For a name on the hub, the safetensors, the configuration and the
tokenizer are downloaded, or found in Hugging Face's cache. Only `realdata.text` uses the network
besides this module: it streams datasets.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from synthsae.checks import ConfigError

SMALL = ["*.json", "*.txt", "*.model"]
"""Files of the configuration and of the tokenizer."""
WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
WIDTH = ("hidden_size", "n_embd", "d_model")
DEPTH = ("num_hidden_layers", "n_layer", "num_layers")
LENGTH = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
"""Keys of `config.json` for D, the number of blocks and the longest context."""


@dataclass(frozen=True)
class Facts:
    """D, the number of blocks and the longest context, by a model's `config.json`."""

    d_model: int
    n_layers: int
    max_context: int


@cache
def facts(model: str) -> Facts:
    """The facts of a model, without its weights. Raises ConfigError for no language model."""
    path = folder(model, SMALL) / "config.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found = found.get("text_config") or found
        width, depth, length = (
            next((int(found[k]) for k in keys if found.get(k)), 0)
            for keys in (WIDTH, DEPTH, LENGTH)
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            "source.model", model, f"a folder with a config.json that can be read ({error})"
        ) from None
    if not (width and depth):
        text = f"a language model; its config.json has none of {', '.join(WIDTH + DEPTH)}"
        raise ConfigError("source.model", model, text)
    return Facts(width, depth, length or 2**31)


def weights(model: str) -> Path:
    """The folder of a model with its weights. Raises ConfigError unless these are safetensors."""
    path = folder(model, SMALL + WEIGHTS)
    if not list(path.glob("*.safetensors")):
        pickles = [p.name for kind in PICKLES for p in path.glob(kind)]
        found = f"only pickles, which can run code: {', '.join(pickles)}" if pickles else "none"
        raise ConfigError("source.model", model, f"weights in .safetensors; found {found}")
    return path


def folder(model: str, patterns: list[str]) -> Path:
    """The local folder `model`, or a folder with those files of a hub model that match."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ConfigError("source.model", model, "a folder that exists, or a name on the hub")
    return _download(model, tuple(patterns))


@cache
def _download(model: str, patterns: tuple[str, ...]) -> Path:
    """The local folder of a hub model; without a network, that of an earlier download."""
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
    """The commit of a dataset on the hub. Raises ConfigError where the hub does not answer."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(dataset).sha)
    except Exception as error:  # no network, no such dataset, not allowed
        kinds = "a file of text or a folder that exists, or a dataset on the hub"
        why = f"{kinds} ({type(error).__name__}; without a network, only a file or a folder)"
        raise ConfigError("source.text", dataset, why) from error
