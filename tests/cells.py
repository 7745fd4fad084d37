"""The cells of a grid, computed without a run."""

from pathlib import Path

import xarray as xr

from synthsae.study import Grid, Study
from synthsae.study.cell import Outcome, Trained, attempt
from synthsae.study.store import Store


def computed(grid: Grid, study: Study, out: Path) -> dict[str, xr.Dataset]:
    """Hash of a cell -> the content of its file. SAEs stay in memory."""
    store, found, in_memory = Store(out, "cells"), {}, dict[str, Trained]()
    for cell in grid.cells:
        assert attempt(cell, study.scores, store, keep=False, in_memory=in_memory) == Outcome()
        saved = store.read(cell.digest)
        assert saved is not None
        found[cell.digest] = saved
    return found
