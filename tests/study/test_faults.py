"""What is done to a run that it must survive, and what it says when it cannot.

`pytest -m faults` kills 30 times per executor; the default suite three times,
at moments that a seed fixes.
"""

import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import xarray as xr
from cluster import N_CELLS, ROOT, TINY, cells, check, go, result, start, workers, written
from distributed import Client, LocalCluster

from synthsae.checks import ConfigError
from synthsae.config import config
from synthsae.study import assemble, cli, store
from synthsae.study.store import FormatError, Store

pytestmark = pytest.mark.slow

PLACES = ("in process", "processes", "dask")


@contextmanager
def ended(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait(process: subprocess.Popen, true: Callable[[], object]) -> None:
    """Until it is true or the process has ended."""
    while process.poll() is None and not true():
        time.sleep(0.002)


def victims(place: str, process: subprocess.Popen) -> list[psutil.Process]:
    """The workers of a run, or of the cluster, whose nannies live here."""
    return workers(process.pid if place == "processes" else os.getpid())


def refill(dask: LocalCluster) -> None:
    """Two workers again: a nanny gives up on one that was killed as it started."""
    dask.scale(2)
    with Client(dask) as client:
        client.wait_for_workers(2, timeout=100)


def kill(
    place: str, n: int, whole: Path, dask: LocalCluster, tmp_path: Path, seed: int = 0
) -> None:
    """Kill -9 the run or a worker at `n` random moments; one rerun must complete the study.

    A moment is while the run starts up, or a random while after a random number of cells.
    """
    more = {"processes": ["--workers", "2"], "dask": ["--dask", dask.scheduler_address]}
    rng, left = random.Random(seed), []
    counts = {"run": 0, "worker": 0, "run, during start-up": 0}
    late = 0
    while len(left) < n:
        if place == "dask":
            refill(dask)
        out = tmp_path / str(len(left) + late)
        early, there = rng.random() < 0.2, rng.randrange(N_CELLS + 1)
        process = start(out, *more.get(place, ()))
        with ended(process):
            if not early:
                wait(process, lambda out=out, there=there: written(out) >= there)
            end = time.monotonic() + rng.uniform(0, 2 if early else 0.1 if there else 3)
            wait(process, lambda end=end: time.monotonic() > end)
            found = [] if early or place == "in process" else victims(place, process)
            if process.poll() is not None:  # it was faster: another moment in its place
                assert process.returncode == 0, (place, seed, process.communicate())
                late += 1
                continue
            left.append(written(out))
            if found and rng.random() < 0.5:
                with suppress(psutil.NoSuchProcess):
                    rng.choice(found).kill()
                counts["worker"] += 1
                said = process.communicate(timeout=300)
                assert process.returncode == 0, (place, seed, said)
                check(out, whole)  # the run has gone on without it
            else:
                process.kill()
                process.wait()
                counts["run, during start-up" if early else "run"] += 1
        assert go(out) == 0, (place, seed, left)
        check(out, whole)
    print(f"{place}: {n} of {n} killed and complete after one rerun; {counts}, {late} ended before "
          f"their moment; cells there when killed: {sorted(left)}; seed {seed}")  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_kill_9_3_times(
    place: str, whole: Path, dask_processes: LocalCluster, tmp_path: Path
) -> None:
    kill(place, 3, whole, dask_processes, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("place", PLACES)
def test_kill_9_30_times(
    place: str, whole: Path, dask_processes: LocalCluster, tmp_path: Path
) -> None:
    kill(place, 30, whole, dask_processes, tmp_path, random.SystemRandom().randrange(10**6))


def test_failing_cells_are_said_and_others_kept(
    dask_processes: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Raised in another process, by an exception that does not survive pickling."""
    mine, more = tmp_path / "tiny.py", ["--dask", dask_processes.scheduler_address]
    mine.write_text(
        TINY.read_text()
        .replace(
            "study = Study(",
            "class Odd(Exception):\n"
            "    def __init__(self, a, b):\n"
            "        super().__init__(f'{a}{b}')\n"
            "def odd(run):\n"
            "    if run.config.world.noise == 0.3:\n"
            "        raise Odd('no ', 'luck')\n"
            "    return scores.reconstruction(run)\n"
            "study = Study(",
        )
        .replace("(scores.reconstruction, ", "(odd, ")
    )
    assert cli.main([str(mine), "--out", str(tmp_path / "r"), *more]) == 1
    said = capsys.readouterr().out
    assert said.count("failed: Odd: no luck") == 2
    assert said.count('"noise": 0.3') == 2
    assert len(cells(tmp_path / "r")) == N_CELLS - 2
    assert result(tmp_path / "r").l0.isnull().all(("seed", "k")).sum() == 1


def test_children_end_with_a_killed_run(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "--workers", "2", "--set", "train.n_steps=100")
    with ended(process):
        wait(process, lambda: len(workers(process.pid)) == 2 and written(tmp_path / "r") > 0)
        children = workers(process.pid)
        process.kill()
        _, left = psutil.wait_procs(children, timeout=60)
        for child in left:
            child.kill()
        assert not left


def test_two_runs_on_one_folder(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The second is refused with one line that names the first, and neither harms the other."""
    out = tmp_path / "r"
    first = start(out)
    with ended(first):
        wait(first, lambda: (out / "tiny/.owner").is_file() and (out / "tiny/.owner").read_text())
        first.send_signal(signal.SIGSTOP)
        before = cells(out)
        for _ in range(2):
            assert go(out) == 2
            err = capsys.readouterr().err
            assert f"(process {first.pid} on " in err
            assert err.count("\n") == 1
        assert cells(out) == before
        first.send_signal(signal.SIGCONT)
        said = first.communicate(timeout=200)
        assert first.returncode == 0, said
    check(out, whole)


def test_two_runs_started_together(whole: Path, tmp_path: Path) -> None:
    both = [start(tmp_path / "r") for _ in range(2)]
    with ended(both[0]), ended(both[1]):
        errs = [process.communicate(timeout=200)[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 2])
    if any(process.returncode for process in both):
        refused = errs[[p.returncode for p in both].index(2)]
        assert "a folder in which no other run is at work" in refused
        assert refused.count("\n") == 1
    check(tmp_path / "r", whole)


def test_a_lock_dies_with_its_process_and_other_studies_go_on(whole: Path, tmp_path: Path) -> None:
    held = Store(tmp_path / "r", "another")
    with held.hold():
        orphan = Store(tmp_path / "r", "another", held.owner)
        orphan.write("abc", xr.Dataset({"a": 1.0}))
        (held.cells / ".abc.cell.0123.part").write_text("left by a killed worker")
        assert go(tmp_path / "r") == 0
        with pytest.raises(ConfigError), Store(tmp_path / "r", "another").hold():
            pass
    assert cells(tmp_path / "r", "another") == ["abc.cell"]
    with (
        Store(tmp_path / "r", "another").hold(),
        pytest.raises(ConfigError, match="allowed: the folder of a run that goes on"),
    ):
        orphan.write("abd", xr.Dataset({"a": 1.0}))


def small(bytes_: int) -> Callable[[], None]:
    """A limit to the size of a file: the write that passes it fails half-way, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))


@pytest.mark.parametrize(
    ("room", "more"),
    [(8000, []), (1000, ["--workers", "2"])],
    ids=["for cells, not for the result", "for no cell"],
)
def test_full_disk(room: int, more: list[str], whole: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE in place of a small file system, which not everyone may mount."""
    out = tmp_path / "r"
    process = start(out, *more, preexec_fn=small(room))
    with ended(process):
        _, err = process.communicate(timeout=200)
    assert process.returncode == 2, err
    assert "allowed: a folder with room that can be written (File too large)" in err
    assert "Traceback" not in err
    assert len(cells(out)) == (0 if room == 1000 else N_CELLS)
    assert not list(out.rglob("*.part"))
    assert go(out) == 0
    check(out, whole)


def unprivileged() -> None:
    """Root may write anywhere unless it gives up the capability to (CAP_DAC_OVERRIDE)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP


def test_read_only_folder(tmp_path: Path) -> None:
    """One that is empty, and one with a run's results in it: one line, and nothing is touched."""
    for out in (tmp_path / "empty", tmp_path / "full"):
        out.mkdir()
        if out.name == "full":
            assert go(out) == 0
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        folders = [out, *(p for p in out.rglob("*") if p.is_dir())]
        for path in (*folders, *before):
            path.chmod(path.stat().st_mode & ~0o222)
        try:
            process = start(out, "--set", "n_seeds=3", preexec_fn=unprivileged)
            with ended(process):
                _, err = process.communicate(timeout=200)
        finally:
            for path in folders:
                path.chmod(0o755)
        assert process.returncode == 2, err
        assert "allowed: a folder with room that can be written (Permission denied)" in err
        assert err.count("\n") == 1
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_damaged_cells(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A flipped bit anywhere, or an end that is missing, is seen, said and mended."""
    out, rng = tmp_path / "r", random.Random(0)
    shutil.copytree(whole, out)
    harmed = []
    for i, path in enumerate(sorted((out / "tiny" / "cells").iterdir())[:12]):
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data if i % 2 else data[: rng.randrange(len(data))])
        harmed.append(path)
    (out / "tiny" / "cells" / ".abc.cell.0123.part").write_text("left by a killed run")
    capsys.readouterr()
    assert go(out) == 0
    said = capsys.readouterr().out
    assert said.count("does not match its checksum; it is computed again") == len(harmed)
    assert all(f"damaged: {path} " in said for path in harmed)
    assert "24 cells, 0 to train, 12 to score with SAEs that are there" in said
    check(out, whole)


BACK = """
import time
true, calls = time.time, [0]
def backwards():
    calls[0] += 1
    return true() - (3600 if calls[0] > 20 else 0)
time.time, time.time_ns = backwards, lambda: int(backwards() * 1e9)
"""


def test_clock_set_back_an_hour(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """In the midst of a run; and files from the future are files like others."""
    (tmp_path / "sitecustomize.py").write_text(BACK)
    out, path = tmp_path / "r", f"{tmp_path}{os.pathsep}{ROOT}"
    process = start(out, env={"PYTHONPATH": path})
    with ended(process):
        said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    check(out, whole)
    assert 0 < result(out).attrs["wall_seconds"] < 600
    for file in out.rglob("*"):
        os.utime(file, (time.time() + 3600,) * 2)
    capsys.readouterr()
    assert go(out) == 0
    assert "24 cells, 0 to train" in capsys.readouterr().out
    check(out, whole)


def test_an_older_format_is_refused_with_the_reason_and_kept(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, older = tmp_path / "r", config.FORMAT - 1
    with pytest.MonkeyPatch.context() as past:
        for module in (config, store, assemble):
            past.setattr(module, "FORMAT", older)
        assert go(out) == 0
        old = result(out)
    reason = f"written in format {older}, and this synthsae reads format"
    with pytest.raises(FormatError, match=reason):
        result(out)
    capsys.readouterr()
    assert go(out, "--figures-only") == 2
    assert reason in capsys.readouterr().err
    assert go(out) == 0
    said = capsys.readouterr().out
    assert reason in said
    assert "24 cells, 24 to train" in said
    kept = out / "tiny" / f"tiny-{old.attrs['hash']}.nc"
    assert f"kept: {kept}" in said
    xr.testing.assert_identical(xr.load_dataset(kept, engine="h5netcdf"), old)
    xr.testing.assert_equal(result(out), result(whole))


def test_datasets_of_before_formats_were_written_are_format_1(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    xr.Dataset({"a": 1.0}).to_netcdf(tmp_path / "tiny" / "tiny.nc", engine="h5netcdf")
    with pytest.raises(FormatError, match="written in format 1, "):
        result(tmp_path)
