"""Files that are there whole or not at all, and that tell when they were damaged."""

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from synthsae.checks import ConfigError

ASIDE = ".part"
"""How the name of a file ends that is being written."""


def write(path: Path, data: bytes, name: str = "path") -> None:
    """Write `data` aside and rename: `path` has all of it, or what it had before.

    Raises ConfigError, `name` its field, where there is no room or the folder cannot be written.
    """
    write_all({path: data}, name)


def write_all(parts: Mapping[Path, bytes], name: str = "path") -> None:
    """The same of several files: none is replaced before all are written."""
    asides = {path: _aside(path) for path in parts}
    try:
        with usable(name, next(iter(parts))):
            for path, data in parts.items():
                _write(asides[path], data)
            for path, aside in asides.items():
                aside.replace(path)
    finally:
        for aside in asides.values():
            with suppress(OSError):
                aside.unlink()


@contextmanager
def usable(name: str, path: Path) -> Iterator[None]:
    """Raise ConfigError, `name` its field, for an OSError in what is done to `path`."""
    try:
        yield
    except OSError as error:
        allowed = f"a folder with room that can be written ({error.strerror or error})"
        raise ConfigError(name, str(path), allowed) from error


def make(folder: Path, name: str = "path") -> None:
    """Make a folder, and those above it. Raises ConfigError where that cannot be."""
    with usable(name, folder):
        folder.mkdir(parents=True, exist_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written; nobody else may be writing there."""
    with suppress(OSError):
        for aside in folder.glob(f".*{ASIDE}"):
            aside.unlink()


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{ASIDE}")


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
