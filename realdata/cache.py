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
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from realdata.arrays import pieces
from realdata.identity import identity
from realdata.sizes import cache_folder
from synthsae import files, progress
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig

SPLITS = ("train", "eval")


class Folder:
    """Where the harvest of a source is. Raises ConfigError where something else is there."""

    def __init__(self, source: SourceConfig):
        self.source, self.identity = source, identity(source)
        text = json.dumps(self.identity, sort_keys=True)
        self.path = cache_folder(source) / files.checksum(text.encode())[:16]
        own = self.path / "identity.json"
        with self._usable():
            self.path.mkdir(parents=True, exist_ok=True)
            if not any(p for p in self.path.iterdir() if not p.name.startswith(".")):
                try:
                    files.write(own, text.encode(), "source.cache")
                except ConfigError:
                    if not own.is_file():  # else another process wrote it, and cleared this one
                        raise
            if not own.is_file() or own.read_bytes() != text.encode():
                allowed = "a cache whose folders realdata made; move this one away"
                raise ConfigError("source.cache", str(self.path), allowed)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait until no other process is at work here, and keep others out."""
        lock = FileLock(self.path / ".lock")
        with self._usable():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress.say(f"waiting: another process makes {self.path}")
                lock.acquire()
        try:
            files.sweep(self.path)
            yield
        finally:
            lock.release()

    def announce(self, what: str, need: int) -> None:
        """Say how many bytes are going to be written here.

        Raises ConfigError where that is more than `source.cache_limit` or than there is room for.
        """
        limit, gib = self.source.cache_limit, 2**30
        with self._usable():
            there = sum(p.stat().st_size for p in self.path.iterdir())
            free = shutil.disk_usage(self.path).free + there
        if need > limit * gib:
            raise ConfigError("source.cache_limit", limit, f"{need / gib:.3g} or more for {what}")
        if need > free:
            allowed = f"a disk with {need / gib:.3g} GiB of room; {free / gib:.3g} are free"
            raise ConfigError("source.cache", str(self.path), allowed)
        text = f"{what}: {need / gib:.3g} GiB (limit {limit:g}) in {self.path}"
        progress.say(text)

    def save(self, name: str, data: bytes | NDArray) -> None:
        """Write a file of the folder, whole or not at all; arrays as .npy."""
        data = data if isinstance(data, bytes) else npy(data)
        files.write(self.path / name, data, "source.cache")

    def save_shard(self, split: str, number: int, values: NDArray) -> None:
        """Write a shard [rows, D], its checksum in its name."""
        data = npy(values)
        self.save(f"{split}-{number:05d}-{files.checksum(data)[:16]}.npy", data)

    def has_shard(self, split: str, number: int) -> bool:
        """Whether a shard is there; a damaged one is said and removed."""
        for path in self.path.glob(f"{split}-{number:05d}-*.npy"):
            if path.stem.endswith(f"-{files.checksum(path.read_bytes())[:16]}"):
                return True
            progress.say(f"damaged, and harvested again: {path}")
            with self._usable():
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

    def copy(self, array: Any) -> NDArray:
        """A memory-mapped copy of a zarr array in this folder.

        Raises ConfigError for a damaged array, and where there is no room.
        """
        if (found := self._rows(array)) is not None:
            return found
        with self.hold():
            if self._rows(array) is None:  # the process that was waited for has not made it
                self._copy(array)
        return np.load(self.path / "rows.npy", mmap_mode="r", allow_pickle=False)

    def _rows(self, array: Any) -> NDArray | None:
        found = self.load("rows.npy")
        return found if found is not None and found.shape == array.shape else None

    def _copy(self, array: Any) -> None:
        """By plain writes: a write through a map that finds the disk full kills the process."""
        name, n, aside = (
            self.source.arrays,
            array.shape[0],
            self.path / f".rows.npy{files.TEMPORARY}",
        )
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        self.announce(f"copy: {n:,} rows of {name}", array.size * array.dtype.itemsize)
        try:
            bar = progress.bar("copy", n, "rows")
            with self._usable(), open(aside, "wb") as file, bar as count:
                np.lib.format.write_array_header_1_0(file, header)
                for rows in pieces(array, name):
                    file.write(np.ascontiguousarray(rows, array.dtype).data)
                    count(len(rows))
                file.flush()
                os.fsync(file.fileno())
                self.check()
                aside.replace(self.path / "rows.npy")
        finally:
            with suppress(OSError):
                aside.unlink()

    def check(self) -> None:
        """Raise ConfigError where arrays are no longer what this folder is of."""
        if (what := self.source.arrays) and identity(self.source) != self.identity:
            allowed = "a file that stays as it is while it is read"
            raise ConfigError("source.arrays", what, allowed)

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
        progress.say(f"damaged, and mended: {self.path}")
        return None

    def _usable(self) -> AbstractContextManager[None]:
        return files.usable("source.cache", self.path)


def npy(values: NDArray) -> bytes:
    """An array as the bytes of a .npy file."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()
