"""Write files atomically, and compute checksums that reveal damage."""

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from synthsae.checks import ConfigError

TEMPORARY = ".part"
"""Suffix of the temporary file of a file that is being written."""


def write(path: Path, data: bytes, name: str = "path") -> None:
    """Write `data` to a temporary file and rename it: `path` has the new content or the old one.

    Raises ConfigError with field `name` if the disk is full or the folder is not writable.
    """
    write_all({path: data}, name)


def write_all(parts: Mapping[Path, bytes], name: str = "path") -> None:
    """Write several files as `write` does; all are written before the first is renamed."""
    temporary = {path: _temporary(path) for path in parts}
    try:
        with usable(name, next(iter(parts))):
            for path, data in parts.items():
                _write(temporary[path], data)
            for path, written in temporary.items():
                written.replace(path)
    finally:
        for written in temporary.values():
            with suppress(OSError):
                written.unlink()


@contextmanager
def usable(name: str, path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which uses `path`, into a ConfigError with field `name`."""
    try:
        yield
    except OSError as error:
        allowed = f"a folder with room that can be written ({error.strerror or error})"
        raise ConfigError(name, str(path), allowed) from error


def make(folder: Path, name: str = "path") -> None:
    """Create a folder and its parents. Raises ConfigError if that fails."""
    with usable(name, folder):
        folder.mkdir(parents=True, exist_ok=True)


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left; no process may be writing there."""
    with suppress(OSError):
        for left in folder.glob(f".*{TEMPORARY}"):
            left.unlink()


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
