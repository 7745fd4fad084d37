"""Where results live: one file a cell, written aside and renamed, whose name carries its checksum.

<out>/.synthsae                        marks the folder as ours
<out>/<study>/cells/<hash>-<sum>.nc    a cell: hash of its config, checksum of its bytes
<out>/<study>/<study>.nc               the assembled Dataset
<out>/<study>/<study>-<hash>.nc        an earlier one, of another config
"""

import hashlib
import io
import os
from pathlib import Path

import xarray as xr

from synthsae.checks import ConfigError

MARKER = ".synthsae"


def claim(out: Path) -> None:
    """Make `out` a results folder, or raise ConfigError: it must be ours, empty or absent."""
    try:
        if out.is_dir() and not (out / MARKER).exists() and any(out.iterdir()):
            raise ConfigError("out", str(out), "a new or empty folder, or one that synthsae made")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()
    except OSError as error:
        raise _unusable(out, error) from error


def open_results(study: str, out: str | Path = "results") -> xr.Dataset:
    """The Dataset that the study `study` left in the results folder `out`, in memory.

    Raises FileNotFoundError where there is none and DamagedError where it cannot be read.
    """
    path = Path(out) / study / f"{study}.nc"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; python -m synthsae.study {study} makes it")
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedError(f"{path}: damaged; python -m synthsae.study {study} mends it") from error


class DamagedError(ValueError):
    """A results file cannot be read."""


class Store:
    """The folder of one study."""

    def __init__(self, out: Path, study: str):
        claim(out)
        self.folder, self.study = out / study, study
        self.cells = self.folder / "cells"
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        self.damaged: list[Path] = []

    def read(self, digest: str) -> xr.Dataset | None:
        """The cell of that hash, or None; a damaged file is put on `damaged` and removed."""
        for path in sorted(self.cells.glob(f"{digest}-*.nc")):
            try:
                data = path.read_bytes()
                if path.stem == f"{digest}-{_checksum(data)}":
                    return xr.load_dataset(io.BytesIO(data), engine="h5netcdf")
                self.damaged.append(path)
                path.unlink()
            except OSError as error:
                raise _unusable(path, error) from error
        return None

    def write(self, digest: str, cell: xr.Dataset) -> None:
        """Save a cell under its hash."""
        data = bytes(cell.to_netcdf(engine="h5netcdf"))
        self.save(f"cells/{digest}-{_checksum(data)}.nc", data)

    def open(self) -> xr.Dataset:
        """The study's Dataset."""
        return open_results(self.study, self.folder.parent)

    def assemble(self, dataset: xr.Dataset) -> None:
        """Save the study's Dataset; one of another config that is in the way is kept beside it."""
        data, name = bytes(dataset.to_netcdf(engine="h5netcdf")), f"{self.study}.nc"
        self.save(f"{name}.new", data)  # a full disk is noticed before anything is moved
        try:
            old = self.open().attrs.get("hash", "unknown")
        except FileNotFoundError:
            old = dataset.attrs["hash"]
        except DamagedError:
            old = "damaged"
        try:
            if old != dataset.attrs["hash"]:
                for kind in ("nc", "png", "pdf"):
                    part = self.folder / f"{self.study}.{kind}"
                    if part.exists():
                        part.replace(self.folder / f"{self.study}-{old}.{kind}")
            (self.folder / f"{name}.new").replace(self.folder / name)
        except OSError as error:
            raise _unusable(self.folder / name, error) from error

    def save(self, name: str, data: bytes) -> None:
        """Write all of `data` to a file of the study's folder, or nothing."""
        path = self.folder / name
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with open(aside, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            aside.replace(path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise _unusable(path, error) from error


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "out", str(path), f"a folder with room that can be written ({error.strerror})"
    )
