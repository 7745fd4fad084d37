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
        source: name of one of our studies, or path of a study file.
        changes: dotted name of a config field -> value, or list of values for an axis.
        out: the results folder.
        quick: run the small version of the study.
        workers: number of processes that run the cells; None: cells run in this process.
        keep_gib: trained SAEs are saved in `out`/trainings up to this size; None: up to 5 GiB.
        accept_stale: use saved trainings of earlier code instead of training again.

    Raises:
        ConfigError: bad input.
        RuntimeError: a cell failed. The other cells are saved.
    """
    name, study, folder = os.fspath(source), load(source), Path(out)
    grid = plan(study, changes or {}, quick=quick)
    keep = KEEP if keep_gib is None else keep_gib
    with nullcontext() if workers is None else Processes(workers) as executor:
        failed = run_grid(name, study, grid, folder, executor, keep, accept_stale)
    if failed:
        raise RuntimeError(f"{failed} of {len(grid.cells)} cells failed, as printed above")
    return open_results(Path(name).stem, folder)
