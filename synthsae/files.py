"""Files that are there whole or not at all, and that tell when they were damaged."""

import hashlib
import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write `data` aside and rename: `path` has all of it, or what it had before."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def checksum(data: bytes) -> str:
    """The first 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
