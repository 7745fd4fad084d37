"""Results: cells, the Dataset of a study, checkpoints, whole and damaged."""

import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from fuzzing import answer, edited, edits
from hypothesis import strategies as st

from synthsae.config import FORMAT
from synthsae.study import store
from synthsae.study.packing import pack, unpack
from synthsae.train.checkpoint import Checkpoint

names = st.text(min_size=1, max_size=5)
shapes = st.lists(st.integers(0, 3), max_size=3)
datasets = st.fixed_dictionaries(
    {
        "variables": st.dictionaries(
            names, st.tuples(shapes, st.sampled_from(["f4", ">f8", "i8", "u1", "b1", "U3", "f2"]))
        ),
        "attrs": st.dictionaries(names, st.integers() | st.floats() | st.text() | st.booleans()),
        "bytes": edits,
    }
)


def dataset(example):
    """A Dataset with these variables."""
    rng, made = np.random.default_rng(0), {}
    for i, (name, (shape, dtype)) in enumerate(example["variables"].items()):
        values = (rng.standard_normal(shape) * 3).astype(dtype)
        made[name] = [f"d{i}_{j}_{n}" for j, n in enumerate(shape)], values, {"units": name}
    return xr.Dataset(made, attrs=example["attrs"])


def check_cell(example):
    """A cell comes back as it was; a damaged one never."""
    ds = dataset(example)
    with tempfile.TemporaryDirectory() as place:
        own = store.Store(Path(place), "s")
        own.write("c", ds)
        xr.testing.assert_identical(own.read("c"), ds)
        xr.testing.assert_identical(unpack(pack(ds)), ds)
        path = own.cells / "c.cell"
        data = edited(path.read_bytes(), example["bytes"])
        if data != path.read_bytes():
            path.write_bytes(data)
            assert answer(lambda: own.read("c")) is None, "a damaged cell was read"
            assert own.damaged == [path], "a damaged cell was not named"


def test_cells(fuzz):
    fuzz(check_cell, datasets)


@cache
def netcdf():
    ds = xr.Dataset(
        {"p_hat": (("seed", "latent"), np.random.default_rng(0).random((3, 40)))},
        {"seed": [0, 1, 2], "world": ("seed", ["a", "b", "c"])},
        {"format": FORMAT, "hash": "h", "config": "{}"},
    )
    return store._sealed(bytes(ds.to_netcdf(engine="h5netcdf")))


def check_results(example):
    """Read, or refused as damaged or of another format."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "s" / "s.nc"
        path.parent.mkdir()
        path.write_bytes(edited(netcdf(), example))
        answer(lambda: store.open_results("s", place), store.DamagedError, store.FormatError)


def test_results(fuzz):
    fuzz(check_results, edits)


class Group:
    """What a checkpoint asks of a group."""

    def __init__(self, steps):
        self.n_done, self.loss = steps, torch.zeros(2)

    def state(self):
        return {"steps": torch.tensor([self.n_done]), "w": torch.arange(5.0)}

    def restore(self, state):
        self.n_done = int(state["steps"][0])


def check_checkpoint(example):
    """A damaged checkpoint is not used; it is said and removed."""
    with tempfile.TemporaryDirectory() as place:
        Checkpoint(Path(place), "g", {}).save(Group(7))
        (path,) = Path(place).iterdir()
        data = edited(path.read_bytes(), example)
        whole = data == path.read_bytes()
        path.write_bytes(data)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert Checkpoint(Path(place), "g", {}).resume(Group(0)) == (7 if whole else 0)
        assert len(said) == (not whole)


def test_checkpoints(fuzz):
    fuzz(check_checkpoint, edits)
