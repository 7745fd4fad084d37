"""What the tests of executors and faults share: runs in processes of their own, and a cluster."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import xarray as xr
from distributed import LocalCluster

import synthsae
from synthsae.study import cli

TINY = Path(__file__).parent / "tiny.py"
ROOT = TINY.parent.parent
N_CELLS = 24


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the tiny study when nothing goes wrong."""
    out = tmp_path_factory.mktemp("undisturbed") / "r"
    assert go(out) == 0
    return out


@pytest.fixture(scope="session")
def dask() -> Iterator[LocalCluster]:
    """Two workers, each with two threads and, they claim, one GPU, inside this process."""
    with _dask(processes=False) as it:
        yield it


@pytest.fixture(scope="session")
def dask_processes() -> Iterator[LocalCluster]:
    """The same as two processes, which nannies restart. Their imports take 20 seconds of CPU."""
    with _dask(processes=True) as it:
        yield it


def _dask(processes: bool) -> LocalCluster:
    return LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        processes=processes,
        dashboard_address=":0",
        resources={"GPU": 1},
    )


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "synthsae.study", str(TINY), "--out", str(out), *more]


def start(out: Path, *more: str, **options: Any) -> subprocess.Popen:
    """A run of the tiny study in a process (and session) of its own."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    env |= options.pop("env", {})
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(out, *more), stdout=pipe, stderr=pipe, text=True, env=env, cwd=out.parent,
        start_new_session=True, **options,
    )  # fmt: skip


def go(out: Path, *more: str) -> int:
    """The same in this process."""
    return cli.main([str(TINY), "--out", str(out), *more])


def workers(pid: int) -> list[psutil.Process]:
    """The worker processes that a run with --workers has now."""
    try:
        children = psutil.Process(pid).children()
        return [c for c in children if any("spawn_main" in part for part in c.cmdline())]
    except psutil.NoSuchProcess:
        return []


def cells(out: Path, study: str = "tiny") -> list[str]:
    """The files of cells, finished or not."""
    return sorted(p.name for p in (out / study / "cells").iterdir())


def written(out: Path) -> int:
    """How many cells are finished, which stay; -1 before the run holds the folder."""
    return len(list(out.glob("tiny/cells/*.cell"))) if (out / "tiny" / ".owner").is_file() else -1


def check(out: Path, whole: Path) -> None:
    """Every cell is there once, nothing half-written is, and the Dataset has the same bits."""
    assert cells(out) == cells(whole), set(cells(out)) ^ set(cells(whole))
    assert len(cells(out)) == N_CELLS
    assert not list(out.rglob("*.part")), list(out.rglob("*.part"))
    xr.testing.assert_equal(result(out), result(whole))


def result(out: Path) -> xr.Dataset:
    return synthsae.open_results("tiny", out)
