"""List the contents of a results folder, and remove files that no study refers to any more."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from synthsae.checks import ConfigError
from synthsae.study.packing import unpack
from synthsae.study.store import CELL, MARKER, Store
from synthsae.study.trainings import Trainings


@dataclass(frozen=True)
class Listing:
    """The contents of a results folder.

    Attributes:
        studies: name of a study -> (number of cells, bytes).
        trainings: (number of trainings, bytes).
        unused: files that no study refers to.
    """

    studies: dict[str, tuple[int, int]]
    trainings: tuple[int, int]
    unused: tuple[Path, ...]

    def __str__(self) -> str:
        rows = [(name, f"{n} cells", size) for name, (n, size) in self.studies.items()]
        rows.append(("trainings", f"{self.trainings[0]} of SAEs", self.trainings[1]))
        lines = [f"{name:22s} {count:>14s} {in_units(size):>10s}" for name, count, size in rows]
        unused = sum(path.stat().st_size for path in self.unused)
        if unused:
            lines.append(f"{in_units(unused)} of it no study refers to: `clean` removes that")
        return "\n".join(lines)


def listing(out: Path) -> Listing:
    """The contents of the results folder `out`.

    Raises:
        ConfigError: `out` is not a results folder.
    """
    if not (out / MARKER).exists():
        raise ConfigError("--out", str(out), "a results folder, which a study has made")
    trainings = Trainings(out)
    studies = {
        folder.name: (len(list(folder.glob(f"cells/*{CELL}"))), _size(folder))
        for folder in _studies(out)
    }
    return Listing(studies, (len(trainings.names()), trainings.size()), tuple(_unused(out)))


def clean(out: Path) -> str:
    """Remove the files that no study refers to.

    Returns:
        A sentence that says how many files and bytes were removed.

    Raises:
        ConfigError: `out` is not a results folder, or a run is at work in it.
    """
    listing(out)  # refuses other folders
    with ExitStack() as locks:
        for folder in _studies(out):
            locks.enter_context(Store(out, folder.name).hold())
        unused = list(_unused(out))
        freed = sum(path.stat().st_size for path in unused)
        for path in unused:
            path.unlink(missing_ok=True)
    return f"{len(unused)} files, {in_units(freed)}, removed from {out}"


def in_units(n: float) -> str:
    """A number of bytes as text, such as `3.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.3g} {unit}"
        n /= 1024
    raise AssertionError


def _studies(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/cells") if path.is_dir())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _unused(out: Path) -> Iterator[Path]:
    """Cells that no Dataset of their study names, trainings that none of the other cells names, and
    fingerprints of code that neither uses.

    A cell that is newer than its study's Dataset belongs to a run that has not ended, so it counts
    as used.
    """
    trainings, codes = set[str](), set[str]()
    for folder in _studies(out):
        named = {str(name) for path in folder.glob("*.nc") for name in _named(path)}
        made = max((path.stat().st_mtime_ns for path in folder.glob("*.nc")), default=0)
        for path in folder.glob(f"cells/*{CELL}"):
            if path.stem not in named and path.stat().st_mtime_ns < made:
                yield path
                continue
            attrs = _attributes(path)
            trainings.add(attrs.get("training", ""))
            codes |= {score["code"] for score in json.loads(attrs.get("scores", "{}")).values()}
    codes |= {name.rpartition("-")[2] for name in trainings}
    for path in (out / "trainings").glob("*-*.*"):
        if path.stem not in trainings:
            yield path
    for path in (out / "trainings" / "code").glob("*.json"):
        if path.stem not in codes:
            yield path


def _named(path: Path) -> list[str]:
    """Hashes of the cells in a study's Dataset; empty if the file cannot be read."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            return [str(v) for v in dataset.cell_hash.values.ravel()]
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError):
        return []


def _attributes(path: Path) -> dict[str, str]:
    """Attributes of a cell's file; empty if the file is damaged."""
    try:
        return unpack(path.read_bytes().partition(b"\n")[2]).attrs
    except (OSError, KeyError, ValueError):
        return {}
