"""Configuration of a cell, as frozen dataclasses: source, SAE, training, seeds, definitions."""

from synthsae.config.config import (
    FORMAT,
    Config,
    architecture_options,
    describe,
    digest,
    override,
)
from synthsae.config.sources import SourceConfig

__all__ = [
    "FORMAT",
    "Config",
    "SourceConfig",
    "architecture_options",
    "describe",
    "digest",
    "override",
]
