"""How many activations a source has, and where its harvest is cached."""

import os
from pathlib import Path

from realdata.arrays import shape
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig


def n_rows(source: SourceConfig) -> int:
    """All activations of a model or an array."""
    if not source.arrays:
        return source.tokens
    return shape(source.arrays)[0]


def n_eval(source: SourceConfig) -> int:
    """Activations held out."""
    n = n_rows(source)
    return min(max(1, round(n * source.held_out)), n - 1)


def n_train(source: SourceConfig) -> int:
    """Activations to train on, before extreme norms are left out."""
    return n_rows(source) - n_eval(source)


def cache_folder(source: SourceConfig) -> Path:
    """The folder of all harvests."""
    named = source.cache or os.environ.get("SYNTHSAE_CACHE") or "~/.cache/synthsae"
    try:
        return Path(named).expanduser()
    except RuntimeError as error:  # no home directory
        raise ConfigError("source.cache", named, f"a folder that is there ({error})") from error
