"""Everything that is written is there whole or not at all, and says in a line why it is not."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import synthsae
from realdata.activations import Activations
from realdata.cache import Folder
from synthsae import SAEConfig, SAEStack, TrainConfig, files, save_consensus, save_saelens
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig
from synthsae.study.store import Store
from synthsae.train import train
from synthsae.world import World, WorldConfig

WORLD = World.plant(WorldConfig(d_model=8, n_isolated=6, n_blocks=0), seed=0)
STACK = SAEStack.init(SAEConfig(n_latents=8, k=2), 8, (0, 1))
ROWS = np.random.default_rng(0).normal(size=(3, 6, 4))
ERRORS = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO)


def _train(folder: Path) -> None:
    how, seeds = TrainConfig(n_steps=3, batch_size=8), [len(list(folder.iterdir()))]
    train(WORLD, STACK.config, how, seeds=seeds, checkpoint=folder)


WRITERS: dict[str, Callable[[Path], object]] = {
    "path": lambda p: STACK.save(p / "a.safetensors"),
    "folder": lambda p: save_saelens(STACK, p / "sae", metadata={"at": len(list(p.iterdir()))}),
    "consensus": lambda p: save_consensus(synthsae.consensus(ROWS), p / "c.safetensors"),
    "out": lambda p: Store(p, "study").save("a.nc", b"data"),
    "cell": lambda p: Store(p, "study").write("abc", xr.Dataset({"a": 1.0})),
    "checkpoint": _train,
    "source.cache": lambda p: Folder(
        SourceConfig(arrays=str(p.parent / "x.npy"), cache=str(p))
    ).save("rows.npy", ROWS),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("number", ERRORS, ids=os.strerror)
def test_what_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, number: int
) -> None:
    """One line, nothing half-written, what was there is there; then the same call goes on."""
    monkeypatch.setattr("synthsae.train.checkpoint.EVERY", 0.0)
    np.save(tmp_path / "x.npy", ROWS[0].astype(np.float32))
    write, folder = WRITERS[writer], tmp_path / "here"
    folder.mkdir()

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    for there in (False, True):
        before = contents(folder)
        with pytest.MonkeyPatch.context() as failing:
            failing.setattr(files.os, "fsync", full)
            with pytest.raises(ConfigError) as error:
                write(folder)
        names = {"consensus": "path", "cell": "out"}
        assert error.value.field == names.get(writer, writer)
        assert os.strerror(number) in error.value.allowed
        assert "\n" not in str(error.value)
        left = contents(folder)
        assert {k: left[k] for k in before} == before
        assert there or not {k for k in left if Path(k).name[0] != "."}
        assert not list(folder.rglob("*.part"))
        write(folder)
    assert contents(folder)


def test_several_files_are_replaced_together(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    files.write_all({a: b"1", b: b"1"})
    with pytest.raises(ConfigError):
        files.write_all({a: b"2", tmp_path / "no" / "b": b"2"})
    assert contents(tmp_path) == {str(a): b"1", str(b): b"1"}


@contextmanager
def room(n: int) -> Iterator[None]:
    """A limit to the size of a file: the write that passes it fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)


@pytest.fixture
def copied(tmp_path: Path) -> Any:
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(500, 8))

    def opened(**fields: Any) -> Activations:
        there = {"arrays": str(tmp_path / "x.zarr"), "cache": str(tmp_path / "cache")} | fields
        return Activations.open(SourceConfig(**there, max_norm=0, center=False, scale=False))

    return opened


def test_a_copy_on_a_full_disk(copied: Any, tmp_path: Path) -> None:
    with room(20_000), pytest.raises(ConfigError) as error:
        copied()
    assert error.value.field == "source.cache"
    names = {p.name for p in tmp_path.glob("cache/*/*")}
    assert names == {"identity.json", ".lock"}
    assert np.array_equal(copied().read(np.arange(2700), "data"), X[:2700])


def test_a_copy_is_announced_and_limited(copied: Any, tmp_path: Path, capfd: Any) -> None:
    gib = X.nbytes / 2**30
    with pytest.raises(ConfigError) as error:
        copied(cache_limit=gib * 0.99)
    assert (error.value.field, error.value.value) == ("source.cache_limit", gib * 0.99)
    assert not list(tmp_path.rglob("*rows*"))
    capfd.readouterr()
    for _ in range(2):
        copied(cache_limit=gib * 1.01)
    told = capfd.readouterr().err
    assert told.count(f"3,000 rows of {tmp_path}/x.zarr: {gib:.3g} GiB (limit") == 1


def test_a_copy_without_room(copied: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")(1, 1, 1)
    with monkeypatch.context() as full:
        full.setattr("realdata.cache.shutil.disk_usage", lambda path: usage)
        with pytest.raises(ConfigError) as error:
            copied()
    assert error.value.field == "source.cache"
    assert copied().n_train == 2700


def test_a_copy_that_was_killed_is_made_again(copied: Any, tmp_path: Path) -> None:
    copied()
    (path,) = tmp_path.glob("cache/*/rows.npy")
    (path.parent / ".rows.npy.part").write_bytes(path.read_bytes()[:100])
    path.write_bytes(path.read_bytes()[:-1])
    assert np.array_equal(copied().read(np.arange(300)), X[2700:])
    assert not list(tmp_path.rglob("*.part"))
