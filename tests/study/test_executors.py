"""Wherever cells run, the same bits come out; what goes wrong with a worker is said in a line."""

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import xarray as xr
from cluster import N_CELLS, TINY, cells, check, go, result, start, workers, written
from distributed import Client, LocalCluster
from tasks import cores, double, fatal, span
from threadpoolctl import threadpool_info

from synthsae.checks import ConfigError
from synthsae.config import Config
from synthsae.machine import threads
from synthsae.study import cell, cli, executors, load, plan
from synthsae.study.executors import Processes, WorkerDiedError
from synthsae.study.packing import pack, unpack
from synthsae.study.runner import Job, run, work
from synthsae.study.store import Store


@pytest.mark.slow
def test_processes_give_the_same_bits(whole: Path, tmp_path: Path) -> None:
    before = workers(os.getpid())  # of the cluster that other tests use
    assert go(tmp_path / "r", "--workers", "2") == 0
    check(tmp_path / "r", whole)
    assert workers(os.getpid()) == before  # its own ended with the run


@pytest.mark.slow
def test_workers_keep_saes(whole: Path, tmp_path: Path) -> None:
    assert go(tmp_path / "r", "--workers", "2") == 0
    xr.testing.assert_equal(result(tmp_path / "r"), result(whole))
    kept = list((tmp_path / "r" / "trainings").glob("*.safetensors"))
    assert len(kept) == len(cells(whole)) == N_CELLS


@pytest.mark.slow
def test_dask_gives_the_same_bits(
    whole: Path, dask: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert go(tmp_path / "r", "--dask", dask.scheduler_address) == 0
    check(tmp_path / "r", whole)
    assert go(tmp_path / "r", "--dask", dask.scheduler_address) == 0
    assert "24 cells, 0 to train" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["threads", "client"])
def test_any_executor_will_do(kind: str, whole: Path, dask: LocalCluster, tmp_path: Path) -> None:
    study = load(str(TINY))
    with ThreadPoolExecutor(3) as pool, Client(dask) as client:
        executor = pool if kind == "threads" else client.get_executor(pure=False)
        assert run(str(TINY), study, plan(study, {}), tmp_path / "r", executor) == 0
    check(tmp_path / "r", whole)


def test_what_crosses_is_small_and_a_cell_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load(str(TINY))
    grid, store = plan(study, {}), Store(tmp_path / "r", "tiny")
    job = Job((grid.cells[0],), train=True, keep=False)
    task = (job, str(TINY), str(tmp_path / "r"), store.owner, cell.code())
    assert len(pickle.dumps((work, task))) < 3000
    with store.hold():
        first = work(*task)
        assert not first[0].error
        assert store.read(grid.cells[0].digest) is not None
        monkeypatch.setattr(cell, "run_cell", None)
        assert work(*task) == first
    assert len(pickle.dumps(first)) < 500


@pytest.mark.parametrize("n", [1, 2])
def test_threads_are_those_of_the_config(
    n: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of PyTorch and of NumPy, while a cell is computed: rounding depends on their number."""
    seen: list[int] = []

    def spy(config: Config, checkpoint: object) -> None:
        blas = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
        seen.extend([torch.get_num_threads(), *blas])
        raise RuntimeError

    monkeypatch.setattr(cell, "run_cell", spy)
    study = load(str(TINY))
    with threads(3 - n):
        one = plan(study, {"train.threads": n}).cells[0]
        assert cell.attempt(one, study.scores, Store(tmp_path, "tiny")).error
        assert torch.get_num_threads() == 3 - n
    assert len(seen) >= 2
    assert set(seen) == {n}


def test_a_worker_that_does_not_see_the_folder(tmp_path: Path) -> None:
    study = load(str(TINY))
    grid, here, there = plan(study, {}), tmp_path / "here", tmp_path / "there"
    store = Store(here, "tiny")
    with store.hold(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthsae.study.store.SEEN_WITHIN", 0.0)
        (there / "tiny").mkdir(parents=True)
        (there / "tiny" / ".owner").write_text("process 1 on elsewhere, run 00000000")
        (outcome,) = work(
            Job((grid.cells[0],), True, False), str(TINY), str(there), store.owner, cell.code()
        )
    assert outcome.fatal
    assert "allowed: a folder that all workers share" in outcome.error
    assert sorted(p.name for p in there.rglob("*")) == [".owner", "tiny"]


def test_a_worker_with_another_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """As on a cluster whose workers hold another version: the run ends with one line."""
    mine = tmp_path / "tiny.py"
    mine.write_text(TINY.read_text())
    study = load(str(mine))
    grid = plan(study, {"n_seeds": 3})
    mine.write_text(TINY.read_text().replace("scores.seed_agreement)", ")"))
    with ThreadPoolExecutor(1) as executor, pytest.raises(ConfigError, match="restart the workers"):
        run(str(mine), study, grid, tmp_path / "r", executor)
    assert cells(tmp_path / "r") == []


def test_a_worker_with_another_synthsae(tmp_path: Path) -> None:
    store = Store(tmp_path / "r", "tiny")
    first = Job((plan(load(str(TINY)), {}).cells[0],), True, False)
    (outcome,) = work(first, str(TINY), str(tmp_path / "r"), store.owner, "another")
    assert outcome.fatal
    assert "restart the workers" in outcome.error


class Lost(Executor):
    """As a dask client whose scheduler has gone: it cancels what it was given."""

    def submit(self, fn: object, /, *args: object, **kwargs: object) -> Future:
        future: Future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_an_executor_that_is_lost_ends_the_run(tmp_path: Path) -> None:
    study = load(str(TINY))
    with pytest.raises(ConfigError, match="cancelled its tasks"):
        run(str(TINY), study, plan(study, {}), tmp_path / "r", Lost())


def test_a_task_that_kills_its_process_three_times_is_given_up(tmp_path: Path) -> None:
    with Processes(2) as executor:
        bad = executor.submit(fatal, str(tmp_path / "count"))
        good = [executor.submit(double, i) for i in range(20)]
        assert [f.result() for f in good] == [2 * i for i in range(20)]
        with pytest.raises(WorkerDiedError, match="3 worker processes died"):
            bad.result()
    assert (tmp_path / "count").read_text() == "xxx"


def test_processes_divide_the_cores() -> None:
    mine = cores()
    with Processes(len(mine)) as executor:
        shares = {tuple(executor.submit(cores).result()) for _ in range(3)}
        assert all(len(share) == 1 and set(share) <= set(mine) for share in shares)
    assert cores() == mine


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1], ids=["while they import", "while they compute"])
def test_ctrl_c_ends_the_children_and_is_quiet(n: int, tmp_path: Path) -> None:
    process = start(tmp_path / "r", "--workers", "2", "--set", "train.n_steps=400")
    until(lambda: len(workers(process.pid)) == 2, process)
    until(lambda: written(tmp_path / "r") >= n, process)
    children = workers(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped; finished cells are kept" in err
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left
    assert written(tmp_path / "r") >= n


@pytest.mark.parametrize("library", ["_multiarray_umath", "libtorch_cpu"])
def test_ctrl_c_during_the_imports_is_quiet(library: str, tmp_path: Path) -> None:
    process = start(tmp_path / "r")
    maps = Path(f"/proc/{process.pid}/maps")
    until(lambda: library in maps.read_text(), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err


def until(true: object, process: subprocess.Popen) -> None:
    while not true():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


BAD = {
    "no process": (["--workers", "0"], "--workers: 0; allowed: 1 or more"),
    "both": (["--workers", "2", "--dask", "x"], "--workers: 2; allowed: no --dask beside it"),
    "nobody there": (["--dask", "tcp://127.0.0.1:9"], "allowed: the address of a running dask"),
    "no address": (["--dask", "@:@"], "allowed: the address of a running dask"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_executor_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "DASK_TIMEOUT", 0.5)
    more, message = BAD[name]
    assert go(tmp_path / "r", *more) == 2
    err = capsys.readouterr().err
    assert message in err
    assert not (tmp_path / "r").exists()


def test_without_dask_the_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert go(tmp_path / "r", "--dask", "tcp://x:1") == 2
    assert 'pip install -e ".[cluster]" -c constraints.txt' in capsys.readouterr().err


def test_one_cell_a_gpu(dask: LocalCluster, capsys: pytest.CaptureFixture) -> None:
    """A worker has two threads and one GPU: what asks for a GPU runs there one after another."""
    with executors.dask(dask.scheduler_address, gpu=True) as executor:
        spans = sorted(f.result() for f in [executor.submit(span, 0.2) for _ in range(6)])
    for (worker, _, end), (next_worker, began, _) in pairwise(spans):
        assert worker != next_worker or end <= began
    assert "--resources GPU=1" in capsys.readouterr().out


def test_cuda_is_looked_for_where_the_cells_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A head node without a GPU plans cells for workers that have one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked: list = []
    monkeypatch.setattr(cli, "dask", lambda address, gpu: asked.append((address, gpu)))
    with pytest.raises(TypeError):  # no cluster is made here
        go(tmp_path / "r", "--dask", "tcp://x:1", "--device", "cuda")
    assert asked == [("tcp://x:1", True)]
    assert go(tmp_path / "r", "--workers", "1", "--device", "cuda") == 2


def test_the_slurm_start_in_the_docs() -> None:
    """The documented call asks Slurm for what the text says."""
    import asyncio

    from dask_jobqueue.slurm import SLURMJob

    text = (TINY.parent.parent / "synthsae" / "study" / "CLUSTER.md").read_text()
    code = text.split("SLURMCluster(", 1)[1].split("\n)", 1)[0]
    arguments = eval(f"dict({code})")
    job = SLURMJob("tcp://head:8786", name="x", **arguments)
    script = job.job_script()
    asyncio.set_event_loop(None)
    for line in ("#SBATCH --gres=gpu:1", "#SBATCH -p gpu", "--resources GPU=1", "--nthreads 1"):
        assert line in script, script


def test_packed_datasets_come_back_exactly() -> None:
    ds = xr.Dataset(
        {
            "a": (("seed", "n"), np.array([[1.0, np.nan], [-0.0, np.inf]]), {"units": "1"}),
            "half": ("n", np.array([1, 2], "float32")),
            "flag": ("n", [True, False]),
            "big": ((), np.int64(2**62)),
            "turned": (("n", "seed"), np.arange(4.0).reshape(2, 2).T),
            "foreign": ("n", np.array([1.5, 2.5], ">f8")),
            "none": (("n", "block"), np.zeros((2, 0))),
            "nameless": (("block", "n"), np.zeros((0, 2), "U1")),
        },
        {"seed": [2**40, 1], "name": ("n", ["é", "b"])},
        {"config": "{}", "wall_seconds": np.float64(0.1), "steps": np.array([1, 2])},
    )
    back = unpack(pack(ds))
    xr.testing.assert_identical(back, ds.assign_attrs(steps=[1, 2]))
    for name, variable in ds.variables.items():
        assert back[name].dtype == variable.dtype.newbyteorder("="), name
    assert np.array_equal(np.signbit(back.a), np.signbit(ds.a))
    with pytest.raises(TypeError, match="when: a cell holds numbers and text"):
        pack(xr.Dataset({"when": ("n", np.array(["2026-01-01"], "datetime64[ns]"))}))
