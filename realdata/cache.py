"""The folder of one harvest in the cache, named by the hash of all that determines its contents.

One process at a time writes it. Every file is written under another name and then renamed:

<cache>/<hash>/identity.json              see `identity_of`; its hash names the folder
<cache>/<hash>/train-tokens.npy           contexts of token ids, [N, T]
<cache>/<hash>/train-positions.npy        flat positions in them that are kept, [rows]
<cache>/<hash>/train-00000-<checksum>.npy   activations, [rows of the shard, D]
<cache>/<hash>/eval-...                   the same for held-out documents
<cache>/<hash>/text.json                  counts of the text, once it is packed
<cache>/<hash>/manifest.json              written last: counts, configuration, versions
<cache>/<hash>/statistics-<max_norm>.json see `realdata.normal`
<cache>/<hash>/rows.npy                   copy of an array that cannot be memory-mapped
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from realdata import arrays, hub, text
from synthsae import files, progress
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig
from synthsae.train import resolve_device

SPLITS = ("train", "eval")
FORMAT = 2
"""Version of the format of a harvest's folder."""
FIELDS = ["layer", "hook", "tokens", "context", "skip_bos", "held_out"]
FIELDS += ["dtype", "batch", "threads", "special_tokens"]
"""Fields that change a harvest, if only by rounding. `max_norm`, `center` and `scale` do not: they
apply when rows are read."""


class Folder:
    """The folder of a source's harvest, made where it does not exist.

    Raises ConfigError where the folder exists with other contents, or cannot be used.
    """

    def __init__(self, source: SourceConfig):
        self.source, self.identity = source, identity_of(source)
        described = json.dumps(self.identity, sort_keys=True).encode()
        self.path = cache_folder(source) / files.checksum(described)[:16]
        own = self.path / "identity.json"
        with self._usable():
            self.path.mkdir(parents=True, exist_ok=True)
            if not any(p for p in self.path.iterdir() if not p.name.startswith(".")):
                try:
                    files.write(own, described, "source.cache")
                except ConfigError:
                    if (
                        not own.is_file()
                    ):  # else another process wrote it and removed our temporary file
                        raise
            if not own.is_file() or own.read_bytes() != described:
                allowed = "a cache whose folders realdata made (move this folder away)"
                raise ConfigError("source.cache", str(self.path), allowed)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder against other processes; wait while another one holds the lock."""
        lock = FileLock(self.path / ".lock")
        with self._usable():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress.say(f"waiting: another process is writing {self.path}")
                lock.acquire()
        try:
            files.sweep(self.path)
            yield
        finally:
            lock.release()

    def announce(self, what: str, need: int) -> None:
        """Say that `need` bytes are about to be written here, for `what`.

        Raises ConfigError where `source.cache_limit` or the free space of the disk is less.
        """
        limit, gib = self.source.cache_limit, 2**30
        with self._usable():
            present = sum(p.stat().st_size for p in self.path.iterdir())
            free = shutil.disk_usage(self.path).free + present
        if need > limit * gib:
            raise ConfigError("source.cache_limit", limit, f"{need / gib:.3g} or more for {what}")
        if need > free:
            allowed = f"a disk with {need / gib:.3g} GiB free for it; {free / gib:.3g} are free"
            raise ConfigError("source.cache", str(self.path), allowed)
        progress.say(f"{what}: {need / gib:.3g} GiB (limit {limit:g}) in {self.path}")

    def save(self, name: str, data: bytes | NDArray) -> None:
        """Write a file of the folder, completely or not at all; arrays as .npy."""
        data = data if isinstance(data, bytes) else npy(data)
        files.write(self.path / name, data, "source.cache")

    def save_shard(self, split: str, number: int, values: NDArray) -> None:
        """Write a shard [rows, D] with its checksum in its name."""
        data = npy(values)
        self.save(f"{split}-{number:05d}-{files.checksum(data)[:16]}.npy", data)

    def has_shard(self, split: str, number: int) -> bool:
        """Whether a shard exists and is whole; a damaged one is reported and removed."""
        for path in self.path.glob(f"{split}-{number:05d}-*.npy"):
            if path.stem.endswith(f"-{files.checksum(path.read_bytes())[:16]}"):
                return True
            progress.say(f"damaged, will be harvested again: {path}")
            with self._usable():
                path.unlink()
        return False

    def shards(self, split: str) -> list[NDArray]:
        """The shards of a split in order, memory-mapped."""
        paths = sorted(self.path.glob(f"{split}-[0-9]*.npy"))
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]

    def load(self, name: str) -> NDArray | None:
        """An array of the folder, memory-mapped; None where it is missing or damaged."""
        with suppress(OSError, ValueError):
            return np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        return None

    def copy(self, array: Any) -> NDArray:
        """A copy of a zarr array in this folder, memory-mapped; made where it does not exist.

        Raises ConfigError for a damaged array, and where the copy does not fit on the disk.
        """
        if (found := self._rows(array)) is not None:
            return found
        with self.hold():
            if self._rows(array) is None:  # no other process made it while this one waited
                self._copy(array)
        return np.load(self.path / "rows.npy", mmap_mode="r", allow_pickle=False)

    def _rows(self, array: Any) -> NDArray | None:
        found = self.load("rows.npy")
        return found if found is not None and found.shape == array.shape else None

    def _copy(self, array: Any) -> None:
        """Copy with plain writes: writing to a memory map kills the process if the disk is full."""
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
                for rows in arrays.pieces(array, name):
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
        """Raise ConfigError where the file of arrays changed since this object was made."""
        if (what := self.source.arrays) and identity_of(self.source) != self.identity:
            allowed = "a file that does not change while it is read (run again)"
            raise ConfigError("source.arrays", what, allowed)

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of a finished harvest; None where it is not finished or is damaged."""
        try:
            found = json.loads((self.path / "manifest.json").read_text())
            whole = {split: sum(map(len, self.shards(split))) for split in SPLITS}
            if whole == {split: found[split]["rows"] for split in SPLITS}:
                return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError):
            pass
        progress.say(f"damaged, will be repaired: {self.path}")
        return None

    def _usable(self) -> AbstractContextManager[None]:
        return files.usable("source.cache", self.path)


def npy(values: NDArray) -> bytes:
    """The bytes of a .npy file with this array."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()


def cache_folder(source: SourceConfig) -> Path:
    """The folder that holds all harvests."""
    named = source.cache or os.environ.get("SYNTHSAE_CACHE") or "~/.cache/synthsae"
    try:
        return Path(named).expanduser()
    except RuntimeError as error:  # no home directory
        raise ConfigError("source.cache", named, f"a folder that can be found ({error})") from error


def identity_of(source: SourceConfig) -> dict[str, Any]:
    """The fields and hashes that determine the bits of a harvest, or the copy of an array.

    The kind of processor can still change the rounding.
    """
    if source.arrays:
        path, tensor = arrays.located(source.arrays)
        return {"arrays": _hash(*_files(path)), "tensor": tensor, "held_out": source.held_out}
    fields = {name: getattr(source, name) for name in FIELDS}
    fields["device"] = resolve_device(source.device, "source.device").type
    return {"format": FORMAT, "model": _model(source), "text": _text(source), **fields}


def _model(source: SourceConfig) -> str:
    """The commit of a hub model, or the hash of a local model's weights, config and tokenizer."""
    if not Path(source.model).expanduser().is_dir():
        return hub.folder(source.model, hub.SMALL).name
    path = hub.weights(source.model)
    return _hash(*sorted(p for kind in (*hub.SMALL, "*.safetensors") for p in path.glob(kind)))


def _text(source: SourceConfig) -> list[str]:
    """The hash of a local text or the commit of a dataset, and the subset, split and column."""
    path = text.local(source)
    found = hub.revision(source.text) if path is None else _hash(*_files(path))
    return [found, source.subset, source.split, source.column]


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _hash(*paths: Path) -> str:
    """SHA-256 of the names and contents of files."""
    total = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        content = _content(path, stat.st_size, stat.st_mtime_ns)
        total.update(os.fsencode(path.name) + f"\0{content}\0".encode())
    return total.hexdigest()


@cache
def _content(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file's contents; size and time of change are in the cache's key."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
