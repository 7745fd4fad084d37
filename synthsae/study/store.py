"""Where results live: one file a cell, written aside and renamed, which begins with its checksum.

<out>/.synthsae                      marks the folder as ours
<out>/trainings/                     the SAEs, shared by all studies: see `trainings`
<out>/<study>/.lock, .owner          held by the run that is at work there, and its name
<out>/<study>/cells/<hash>.cell      what the study's scores found, by the hash of a config
<out>/<study>/checkpoints/<hash>/    states of a cell in training, if that takes minutes
<out>/<study>/<study>.nc             the assembled Dataset
<out>/<study>/<study>-<hash>.nc      an earlier one, of another config
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
"""Seconds in which a network file system must show a worker what the run has written."""


def claim(out: Path) -> None:
    """Make `out` a results folder, or raise ConfigError: it must be ours, empty or absent."""
    with usable("out", out):
        if out.is_dir() and not (out / MARKER).exists() and any(out.iterdir()):
            raise ConfigError("out", str(out), "a new or empty folder, or one that synthsae made")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()


def open_results(study: str, out: str | Path = "results") -> xr.Dataset:
    """The Dataset that the study `study` left in the results folder `out`, in memory.

    Raises FileNotFoundError where there is none, DamagedError where it cannot be read and
    FormatError where another version of synthsae wrote it.
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

    A run makes it and holds it; a worker of that run joins it by the name of its `owner`, and makes
    nothing: raises ConfigError where the worker does not see the folder that the run holds.
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
        """Keep other runs out. The system releases a lock when its process dies, however it dies.

        Raises ConfigError where another run is at work.
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
        """Remove what killed runs and workers left half-written."""
        for folder in (self.folder, self.cells):
            sweep(folder)

    def _join(self) -> None:
        """Wait until the name of the owner is seen."""
        name = self.folder / ".owner"
        if not _within(SEEN_WITHIN, lambda: _text(name) == self.owner or None):
            text = f"a folder that all workers share; {socket.gethostname()} does not see it"
            raise ConfigError("out", str(self.out), text)

    def checkpoint(self, digest: str) -> Path:
        """Where the states of a cell in training are."""
        return self.folder / "checkpoints" / digest

    def saved(self) -> set[str]:
        """The hashes of the cells that have a file."""
        return {path.stem for path in self.cells.glob(f"*{CELL}")}

    def read(self, digest: str) -> xr.Dataset | None:
        """The cell of that hash, or None; a damaged file is put on `damaged` and removed."""
        path = self.cells / f"{digest}{CELL}"
        with usable("out", path), suppress(FileNotFoundError):
            found, _, data = path.read_bytes().partition(b"\n")
            if found == checksum(data).encode():
                return unpack(data)
            self.damaged.append(path)
            path.unlink()
        return None

    def await_cell(self, digest: str) -> xr.Dataset | None:
        """The same for a cell that a worker has just written."""
        return _within(SEEN_WITHIN, lambda: self.read(digest))

    def write(self, digest: str, cell: xr.Dataset) -> None:
        """Save a cell under its hash. A worker's run may have been killed: raises ConfigError once
        another has taken its place, which computes the cell itself.
        """
        if self._joined and _text(self.folder / ".owner") != self.owner:
            raise ConfigError("out", str(self.folder), "the folder of a run that goes on")
        data = pack(cell)
        self.save(f"cells/{digest}{CELL}", checksum(data).encode() + b"\n" + data)

    def open(self) -> xr.Dataset:
        """The study's Dataset."""
        return open_results(self.study, self.folder.parent)

    def assemble(self, dataset: xr.Dataset) -> Path | None:
        """Save the study's Dataset; one of another config or format that is in the way is kept
        beside it, where the path that is returned says.
        """
        data, name = _sealed(_netcdf(dataset)), f"{self.study}.nc"
        self.save(f"{name}.new", data)  # a full disk is noticed before anything is moved
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
        """Write all of `data` to a file of the study's folder, or nothing."""
        write(self.folder / name, data, "out")


def _within(seconds: float, look: Callable[[], T | None]) -> T | None:
    """What `look` sees, or None if it is None for so many seconds."""
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
"""What stands before the checksum behind a Dataset, where HDF5 does not look. Without one a flipped
bit may go unseen, or make the library search without end."""


def _sealed(data: bytes) -> bytes:
    return data + SEAL + checksum(data).encode()


def _is_sealed(data: bytes) -> bool | None:
    """Whether a file's checksum is right; None where it has none, as those of before format 3."""
    content, seal, found = data.rpartition(SEAL)
    return found == checksum(content).encode() if seal else None


def _netcdf(dataset: xr.Dataset) -> bytes:
    """The file's bytes; where a dask client is about, xarray would ask its cluster for a lock."""
    dask = sys.modules.get("dask")
    with dask.config.set(scheduler="synchronous") if dask else nullcontext():
        return bytes(dataset.to_netcdf(engine="h5netcdf"))
