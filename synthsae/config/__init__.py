"""Configuration of a cell, as frozen dataclasses: source, SAE, training, seeds, definitions."""

from synthsae.config.config import FORMAT, Config, describe, digest, field_type, override
from synthsae.config.sources import SourceConfig

__all__ = ["FORMAT", "Config", "SourceConfig", "describe", "digest", "field_type", "override"]
