"""Running a study from Python."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import xarray as xr

from synthsae.study.executors import Processes
from synthsae.study.find import load
from synthsae.study.grid import plan
from synthsae.study.runner import KEEP
from synthsae.study.runner import run as run_grid
from synthsae.study.store import open_results


def run(
    source: str | os.PathLike[str],
    changes: Mapping[str, Any] | None = None,
    *,
    out: str | os.PathLike[str] = "results",
    quick: bool = False,
    workers: int | None = None,
    keep_gib: float | None = None,
    accept_stale: bool = False,
) -> xr.Dataset:
    """Run a study as the command line does, and return its Dataset.

    Args:
        source: an installed study's name, or a study file.
        changes: a field's value by its dotted name, or a list of values for an axis.
        out: the results folder.
        quick: the small version.
        workers: processes that run the cells; none: this one.
        keep_gib: size up to which SAEs are kept in `out`/trainings; none: as the command line does.
        accept_stale: keep trainings by earlier code.

    Raises ConfigError for bad input, and RuntimeError where a cell failed; the others are kept.
    """
    name, study, folder = os.fspath(source), load(source), Path(out)
    grid = plan(study, changes or {}, quick=quick)
    keep = KEEP if keep_gib is None else keep_gib
    with nullcontext() if workers is None else Processes(workers) as executor:
        failed = run_grid(name, study, grid, folder, executor, keep, accept_stale)
    if failed:
        raise RuntimeError(f"{failed} of {len(grid.cells)} cells failed, as printed above")
    return open_results(Path(name).stem, folder)
