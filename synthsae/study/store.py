"""The folder of results. A cell is one file, written under another name and then renamed.

<out>/.synthsae                      marks the folder as a results folder
<out>/trainings/                     trained SAEs, shared by all studies (`study.trainings`)
<out>/<study>/.lock, .owner          lock and name of the run that is at work
<out>/<study>/cells/<hash>.cell      scores of one cell, after a checksum; <hash> is of its config
<out>/<study>/checkpoints/<hash>/    training state of a cell, if training takes minutes
<out>/<study>/<study>.nc             the Dataset of the whole study
<out>/<study>/<study>-<hash>.nc      an earlier Dataset, of another config
"""

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

import xarray as xr
from filelock import FileLock, Timeout

from synthsae.checks import ConfigError
from synthsae.config import FORMAT
from synthsae.files import checksum, make, sweep, usable, write
from synthsae.study.packing import pack, unpack

T = TypeVar("T")
MARKER = ".synthsae"
CELL = ".cell"
SEEN_WITHIN = 5.0
"""Seconds within which a network file system must show a file that another machine has written."""


def claim(out: Path) -> None:
    """Make `out` a results folder.

    Raises:
        ConfigError: `out` holds other files, or cannot be written.
    """
    with usable("out", out):
        if out.is_dir() and not (out / MARKER).exists() and any(out.iterdir()):
            raise ConfigError("out", str(out), "a new or empty folder, or one that synthsae made")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()


def open_results(study: str, out: str | Path = "results") -> xr.Dataset:
    """The Dataset that the study `study` has written to the results folder `out`, in memory.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it cannot be read.
        FormatError: another version of synthsae wrote it.
    """
    path = Path(out) / study / f"{study}.nc"
    again = f"python -m synthsae.study {study}"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {again} makes it")
    sealed = _is_sealed(path.read_bytes())
    if sealed is not False:
        try:
            dataset = xr.load_dataset(path, engine="h5netcdf")
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise DamagedError(f"{path}: damaged; {again} mends it") from error
        if (found := int(dataset.attrs.get("format", 1))) != FORMAT:
            text = f"{path}: written in format {found}, and this synthsae reads format {FORMAT}"
            raise FormatError(f"{text}; {again} computes it again and keeps this file beside it")
    if not sealed:
        raise DamagedError(f"{path}: damaged; {again} mends it")
    return dataset


class DamagedError(ValueError):
    """A results file cannot be read."""


class FormatError(ValueError):
    """A results file is of another version of the format."""


class Store:
    """The folder of one study.

    A run creates the folder and locks it with `hold`. A worker passes the name of that run as
    `owner` and creates nothing.

    Args:
        out: the results folder.
        study: name of the study.
        owner: name of the run that holds the folder, for a worker; None: this is the run.

    Raises:
        ConfigError: `out` cannot be used, or a worker does not see the folder that `owner` holds.
    """

    def __init__(self, out: Path, study: str, owner: str | None = None):
        self.out, self.folder, self.study = out, out / study, study
        self.cells = self.folder / "cells"
        self.owner = owner or f"process {os.getpid()} on {socket.gethostname()}, "
        self.damaged: list[Path] = []
        self._joined = owner is not None
        if self._joined:
            return self._join()
        self.owner += f"run {secrets.token_hex(4)}"
        claim(out)
        make(self.cells, "out")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder. The system releases the lock when this process ends, even if killed.

        Raises:
            ConfigError: another run is at work in the folder.
        """
        lock, name = FileLock(self.folder / ".lock"), self.folder / ".owner"
        with usable("out", self.folder):
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                who = _text(name) or "it has just begun"
                text = f"a folder in which no other run is at work ({who})"
                raise ConfigError("out", str(self.folder), text) from error
        try:
            with usable("out", self.folder):
                self._sweep()
                name.write_text(self.owner)
            yield
        finally:
            self._sweep()
            lock.release()

    def _sweep(self) -> None:
        """Remove partial files of runs and workers that were killed."""
        for folder in (self.folder, self.cells):
            sweep(folder)

    def _join(self) -> None:
        """Wait until the file with the name of the owner is visible."""
        name = self.folder / ".owner"
        if not _within(SEEN_WITHIN, lambda: _text(name) == self.owner or None):
            text = f"a folder that all workers share; {socket.gethostname()} does not see it"
            raise ConfigError("out", str(self.out), text)

    def checkpoint(self, digest: str) -> Path:
        """Folder of the training state of a cell."""
        return self.folder / "checkpoints" / digest

    def saved(self) -> set[str]:
        """Hashes of the cells that have a file."""
        return {path.stem for path in self.cells.glob(f"*{CELL}")}

    def read(self, digest: str) -> xr.Dataset | None:
        """The cell of that hash, or None. A damaged file is removed and added to `damaged`."""
        path = self.cells / f"{digest}{CELL}"
        with usable("out", path), suppress(FileNotFoundError):
            found, _, data = path.read_bytes().partition(b"\n")
            if found == checksum(data).encode():
                return unpack(data)
            self.damaged.append(path)
            path.unlink()
        return None

    def await_cell(self, digest: str) -> xr.Dataset | None:
        """Like `read`, but wait until a file that a worker has written is visible."""
        return _within(SEEN_WITHIN, lambda: self.read(digest))

    def write(self, digest: str, cell: xr.Dataset) -> None:
        """Save a cell under its hash.

        Raises:
            ConfigError: this is a worker, and another run holds the folder now. The worker's own
                run was killed, and the other run computes the cell itself.
        """
        if self._joined and _text(self.folder / ".owner") != self.owner:
            raise ConfigError("out", str(self.folder), "the folder of a run that goes on")
        data = pack(cell)
        self.save(f"cells/{digest}{CELL}", checksum(data).encode() + b"\n" + data)

    def open(self) -> xr.Dataset:
        """The study's Dataset."""
        return open_results(self.study, self.folder.parent)

    def assemble(self, dataset: xr.Dataset) -> Path | None:
        """Save the study's Dataset. An earlier Dataset of another config or format is renamed.

        Returns:
            The new path of the earlier Dataset; None if nothing was renamed.
        """
        data, name = _sealed(_netcdf(dataset)), f"{self.study}.nc"
        self.save(f"{name}.new", data)  # fails on a full disk before anything is renamed
        try:
            old = self.open().attrs.get("hash", "unknown")
        except FileNotFoundError:
            old = dataset.attrs["hash"]
        except FormatError:
            old = xr.load_dataset(self.folder / name, engine="h5netcdf").attrs.get("hash", "old")
        except DamagedError:
            old = "damaged"
        with usable("out", self.folder / name):
            if moved := old != dataset.attrs["hash"]:
                for kind in ("nc", "png", "pdf"):
                    part = self.folder / f"{self.study}.{kind}"
                    if part.exists():
                        part.replace(self.folder / f"{self.study}-{old}.{kind}")
            (self.folder / f"{name}.new").replace(self.folder / name)
        return self.folder / f"{self.study}-{old}.nc" if moved else None

    def save(self, name: str, data: bytes) -> None:
        """Write `data` to a file of the study's folder, completely or not at all."""
        write(self.folder / name, data, "out")


def _within(seconds: float, look: Callable[[], T | None]) -> T | None:
    """The first result of `look` that is not None, or None after so many seconds."""
    end = time.monotonic() + seconds
    while (seen := look()) is None and time.monotonic() < end:
        time.sleep(0.1)
    return seen


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


SEAL = b"\nsynthsae sha256 "
"""Text before the checksum at the end of a netCDF file; HDF5 ignores what follows its own data.
Without a checksum a flipped bit may go unnoticed, or may send the HDF5 library into an endless
loop."""


def _sealed(data: bytes) -> bytes:
    return data + SEAL + checksum(data).encode()


def _is_sealed(data: bytes) -> bool | None:
    """Whether a file's checksum is right; None if it has none, as before format 3."""
    content, seal, written = data.rpartition(SEAL)
    return written == checksum(content).encode() if seal else None


def _netcdf(dataset: xr.Dataset) -> bytes:
    """`dataset` as the bytes of a netCDF file.

    The synchronous scheduler keeps xarray from asking the cluster of a dask client for a lock.
    """
    dask = sys.modules.get("dask")
    with dask.config.set(scheduler="synchronous") if dask else nullcontext():
        return bytes(dataset.to_netcdf(engine="h5netcdf"))
