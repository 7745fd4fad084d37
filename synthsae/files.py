"""Files that are there whole or not at all, and that tell when they were damaged."""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

ASIDE = ".part"
"""How the name of a file ends that is being written."""


def write(path: Path, data: bytes) -> None:
    """Write `data` aside and rename: `path` has all of it, or what it had before."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{ASIDE}")
    try:
        with open(aside, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
