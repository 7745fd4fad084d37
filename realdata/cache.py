"""The folder of one harvest: shards written aside and renamed, by one process at a time.

<cache>/<hash>/identity.json              what the harvest is of; the folder is named by its hash
<cache>/<hash>/train-tokens.npy           contexts of token ids, [N, T]
<cache>/<hash>/train-positions.npy        the flat positions in them that are kept, [rows]
<cache>/<hash>/train-00000-<checksum>.npy   activations, [rows of the shard, D]
<cache>/<hash>/eval-...                   the same of the documents that are held out
<cache>/<hash>/text.json                  what was found in the text, once it is packed
<cache>/<hash>/manifest.json              written last: counts, configuration, versions
<cache>/<hash>/statistics-<cut>.json      see `realdata.normal`
<cache>/<hash>/rows.npy                   a copy of arrays that cannot be memory-mapped
"""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from realdata.config import SourceConfig, cache_folder
from realdata.identity import identity
from realdata.rows import CHUNK
from synthsae import files
from synthsae.checks import ConfigError

SPLITS = ("train", "eval")


class Folder:
    """Where the harvest of a source is. Raises ConfigError where something else is there."""

    def __init__(self, source: SourceConfig):
        self.identity = identity(source)
        text = json.dumps(self.identity, sort_keys=True)
        self.path = cache_folder(source) / files.checksum(text.encode())[:16]
        own = self.path / "identity.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not any(p for p in self.path.iterdir() if not p.name.startswith(".")):
                with suppress(FileNotFoundError):  # another process wrote it, and cleared this one
                    files.write(own, text.encode())
            if not own.is_file() or own.read_text() != text:
                allowed = "a cache whose folders realdata made; move this one away"
                raise ConfigError("source.cache", str(self.path), allowed)
        except OSError as error:
            raise self._unusable(error) from error

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait until no other process is at work here, and keep others out."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting: another process makes {self.path}", file=sys.stderr)
            lock.acquire()
        try:
            for aside in self.path.glob(f".*{files.ASIDE}"):
                aside.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def save(self, name: str, data: bytes | NDArray) -> None:
        """Write a file of the folder, whole or not at all; arrays as .npy."""
        try:
            files.write(self.path / name, data if isinstance(data, bytes) else npy(data))
        except OSError as error:
            raise self._unusable(error) from error

    def save_shard(self, split: str, number: int, values: NDArray) -> None:
        """Write a shard [rows, D], its checksum in its name."""
        data = npy(values)
        self.save(f"{split}-{number:05d}-{files.checksum(data)[:16]}.npy", data)

    def has_shard(self, split: str, number: int) -> bool:
        """Whether a shard is there; a damaged one is said and removed."""
        for path in self.path.glob(f"{split}-{number:05d}-*.npy"):
            if path.stem.endswith(f"-{files.checksum(path.read_bytes())[:16]}"):
                return True
            print(f"damaged, and harvested again: {path}", file=sys.stderr)
            path.unlink()
        return False

    def shards(self, split: str) -> list[NDArray]:
        """The shards of a split in order, memory-mapped."""
        paths = sorted(self.path.glob(f"{split}-[0-9]*.npy"))
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]

    def load(self, name: str) -> NDArray | None:
        """An array of the folder, memory-mapped, or None where it is absent or damaged."""
        with suppress(OSError, ValueError):
            return np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        return None

    def copy(self, array: NDArray) -> NDArray:
        """A memory-mapped copy of an array of another kind, such as zarr, in this folder."""
        with self.hold():
            if (found := self.load("rows.npy")) is None:
                aside = self.path / f".rows.npy{files.ASIDE}"
                found = np.lib.format.open_memmap(aside, "w+", array.dtype, array.shape)
                for i in range(0, len(found), CHUNK):
                    found[i : i + CHUNK] = array[i : i + CHUNK]
                found.flush()
                aside.replace(self.path / "rows.npy")
            return found

    def manifest(self) -> dict[str, Any] | None:
        """What the finished harvest says of itself; None where it is not finished, or damaged."""
        try:
            found = json.loads((self.path / "manifest.json").read_text())
            whole = {split: sum(map(len, self.shards(split))) for split in SPLITS}
            if whole == {split: found[split]["rows"] for split in SPLITS}:
                return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError):
            pass
        print(f"damaged, and mended: {self.path}", file=sys.stderr)
        return None

    def _unusable(self, error: OSError) -> ConfigError:
        why = f"a folder with room that can be written ({error.strerror})"
        return ConfigError("source.cache", str(self.path), why)


def npy(values: NDArray) -> bytes:
    """An array as the bytes of a .npy file."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()
