"""What a results folder holds, how large it is, and what of it no study refers to any more."""

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
        studies: cells and bytes by name of a study.
        trainings: how many there are, and their bytes.
        unused: files that no study refers to.
    """

    studies: dict[str, tuple[int, int]]
    trainings: tuple[int, int]
    unused: tuple[Path, ...]

    def __str__(self) -> str:
        rows = [(name, f"{n} cells", size) for name, (n, size) in self.studies.items()]
        rows.append(("trainings", f"{self.trainings[0]} of SAEs", self.trainings[1]))
        lines = [f"{name:22s} {what:>14s} {in_units(size):>10s}" for name, what, size in rows]
        spare = sum(path.stat().st_size for path in self.unused)
        if spare:
            lines.append(f"{in_units(spare)} of it no study refers to: `clean` removes that")
        return "\n".join(lines)


def listing(out: Path) -> Listing:
    """What is in the results folder `out`. Raises ConfigError where it is none."""
    if not (out / MARKER).exists():
        raise ConfigError("--out", str(out), "a results folder, which a study has made")
    trainings = Trainings(out)
    studies = {
        folder.name: (len(list(folder.glob(f"cells/*{CELL}"))), _size(folder))
        for folder in _studies(out)
    }
    return Listing(studies, (len(trainings.names()), trainings.size()), tuple(_unused(out)))


def clean(out: Path) -> str:
    """Remove what no study refers to, and say how much that was.

    Raises ConfigError where a run is at work in the folder.
    """
    listing(out)
    with ExitStack() as held:
        for folder in _studies(out):
            held.enter_context(Store(out, folder.name).hold())
        unused = list(_unused(out))
        freed = sum(path.stat().st_size for path in unused)
        for path in unused:
            path.unlink(missing_ok=True)
    return f"{len(unused)} files, {in_units(freed)}, removed from {out}"


def in_units(n: float) -> str:
    """A number of bytes in words."""
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
    """Cells that no Dataset of their study names, and trainings that no other cell names.

    Cells that are newer than the Dataset are of a run that has not ended, and stay.
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
    """The cells in a study's Dataset."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            return [str(v) for v in dataset.cell_hash.values.ravel()]
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError):
        return []


def _attributes(path: Path) -> dict[str, str]:
    """What a cell's file says of itself; nothing where it is damaged."""
    try:
        return unpack(path.read_bytes().partition(b"\n")[2]).attrs
    except (OSError, KeyError, ValueError):
        return {}
