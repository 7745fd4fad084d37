"""Files of arrays: the right rows, or one line that says what is wrong with the file."""

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray
from safetensors.numpy import save, save_file

from realdata import arrays
from realdata.activations import Activations
from realdata.rows import n_train
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig

X = np.random.default_rng(0).normal(3, 2, (200, 6)).astype(np.float32)


def read(path: Path | str, cache: Path, **fields: Any) -> NDArray:
    """All rows of a file, as they are in it."""
    raw = {"center": False, "scale": False, "max_norm": 0.0} | fields
    found = Activations.open(SourceConfig(arrays=str(path), cache=str(cache), **raw))
    parts = found.read(np.arange(found.n_train), "data"), found.read(np.arange(found.n_eval))
    return torch.cat(parts).numpy()


def refused(path: Path | str, cache: Path) -> ConfigError:
    with warnings.catch_warnings(action="error"), pytest.raises(ConfigError) as error:
        read(path, cache)
    assert error.value.field in ("source", "source.arrays")
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    "x",
    [X.astype(kind) for kind in ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8", np.longdouble)]
    + [np.asfortranarray(X), X[:, :1], X[:3]],
    ids=lambda x: f"{x.dtype.str} {x.shape} {'F' if x.flags.f_contiguous else 'C'}",
)
@pytest.mark.parametrize("kind", [".npy", ".NPY", ".zarr"])
def test_floats_of_every_kind(tmp_path: Path, x: NDArray, kind: str) -> None:
    if kind == ".zarr" and x.dtype.itemsize > 8:
        pytest.skip("zarr has no long double")
    path = tmp_path / f"x{kind}"
    if kind == ".zarr":
        zarr.save_array(path, x)
    else:
        with open(path, "wb") as file:
            np.save(file, x)
    assert np.array_equal(read(path, tmp_path / "c"), x.astype(np.float32))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_npy(tmp_path: Path, version: tuple[int, int]) -> None:
    with open(tmp_path / "x.npy", "wb") as file, warnings.catch_warnings(action="ignore"):
        np.lib.format.write_array(file, X, version)
    assert np.array_equal(read(tmp_path / "x.npy", tmp_path / "c"), X)


@pytest.mark.parametrize(
    "x",
    [
        X[0],
        X[None],
        X[:1],
        X[:0],
        X[:, :0],
        np.float32(1),
        X.astype(int),
        X > 0,
        X.astype(complex),
        X.astype(str),
        np.zeros(5, [("a", "f4")]),
        np.zeros((5, 3), "V2"),
        np.full((50, 3), np.inf, np.float16),
        np.full((50, 3), 1e300),
    ],
    ids=lambda x: f"{x.dtype} {x.shape}",
)
def test_arrays_that_are_not_rows_of_floats(tmp_path: Path, x: NDArray) -> None:
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", tmp_path / "c")


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:60],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data + data,
        lambda data: b"PK\x03\x04" + data,
        lambda data: data.replace(b"(200, 6)", b"(-20, 6)"),
        lambda data: data.replace(b"(200, 6)", b"(100, 6)"),
        lambda data: data.replace(b"'<f4'", b"'|O8'"),
        lambda data: data.replace(b"(200, 6)", b"(((((((("),
    ],
)
def test_damaged_npy(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").write_bytes(harm((tmp_path / "x.npy").read_bytes()))
    refused(tmp_path / "x.npy", tmp_path / "c")


def _tensors(head: Any, data: bytes = bytes(1000), length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _one(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        _tensors(_one([10, 25], 0, 1000), length=2**63),
        _tensors(_one([10, 25], 0, 1000), length=10**6),
        _tensors(_one([10, 25], -4, 996)),
        _tensors(_one([10, 24], 0, 1000)),
        _tensors(_one([10, 24], 0, 960)),
        _tensors(_one([2**40, 2**40], 0, 1000)),
        _tensors(_one([10, 25], 0, 1000) | {"y": _one([10, 25], 0, 1000)["x"]}),
        _tensors(_one([10, 25], 0, 1000), bytes(999)),
        _tensors(_one([10, 25], 0, 1000), bytes(1001)),
        _tensors(_one([10, 100], 0, 1000, "F8_E4M3")),
        _tensors(_one([10, 25], 0, 1000, "I32")),
        _tensors(_one([10, 25], 0, 1000, "Q7")),
        _tensors(_one([250], 0, 1000)),
        _tensors({}, b""),
        _tensors([1, 2]),
        _tensors(b"{{"),
        _tensors(b"\xff\xfe"),
        _tensors({"x": {"dtype": "F32"}}),
    ],
    ids=range(20),
)
def test_damaged_safetensors(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(data)
    refused(tmp_path / "x.safetensors", tmp_path / "c")


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colons, commas, spaces, other letters, letters that are none, upper case and a home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folders = ["a:b", "a,b", "a b", "é", os.fsdecode(b"\xff"), "x.safetensors:y"]
    for name in folders:
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", X)
        assert np.array_equal(read(tmp_path / name / "x.npy", tmp_path / "c"), X)
    odd = os.fsdecode(b"\xff.npy")
    shutil.copyfile(tmp_path / "é" / "x.npy", tmp_path / odd)
    assert np.array_equal(read(f"~/{odd}", tmp_path / "c"), X)
    assert np.array_equal(read("~/a:b/x.npy", tmp_path / "c"), X)
    save_file({"a": X, "b:c/d": 2 * X}, tmp_path / "a:b" / "X.SAFETENSORS")
    assert np.array_equal(read("~/a:b/X.SAFETENSORS:b:c/d", tmp_path / "c"), 2 * X)
    for end in ("", ":", ":z"):
        path = f"{tmp_path}/a:b/X.SAFETENSORS"
        assert refused(path + end, tmp_path / "c").allowed == f"{path}:a, {path}:b:c/d"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("x.pt", "save_file"),
        ("x.BIN", "save_file"),
        ("x.npz", "np.save"),
        ("x.zarr.zip", "unzip"),
        ("x.h5", ".npy, .safetensors, .zarr"),
        ("x", ".npy, .safetensors, .zarr"),
        ("", ".npy, .safetensors, .zarr"),
        ("a\0b.npy", ""),
        ("absent.npy", "exists"),
        ("absent.zarr", "exists"),
        ("a" * 5000 + ".npy", "too long"),
        ("a" * 5000 + ".safetensors:x", "too long"),
    ],
)
def test_files_that_are_not_read(tmp_path: Path, name: str, advice: str) -> None:
    if name and not name.startswith("a"):
        (tmp_path / name).write_bytes(b"PK")
    assert advice in refused(f"{tmp_path}/{name}", tmp_path / "c").allowed


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    refused(tmp_path / "x.npy", tmp_path / "c")


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_groups(tmp_path: Path, version: Any) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=version)
    refused(tmp_path / "g.zarr", tmp_path / "c")
    for name in ("acts", "more"):
        group.create_array(name, data=X, chunks=(64, 4))
    inside = f"{tmp_path}/g.zarr/acts, {tmp_path}/g.zarr/more"
    assert refused(tmp_path / "g.zarr", tmp_path / "c").allowed == inside
    assert np.array_equal(read(tmp_path / "g.zarr" / "acts", tmp_path / "c"), X)


SHAPES = [{"chunks": (64, 4)}, {"chunks": (64, 4), "zarr_format": 2}]
SHAPES += [{"chunks": (10, 3), "shards": (20, 6)}, {"chunks": (200, 6), "compressors": None}]


@pytest.mark.parametrize("how", SHAPES, ids=str)
def test_chunks_that_are_missing_or_damaged(tmp_path: Path, how: Any) -> None:
    path = tmp_path / "x.zarr"
    zarr.create_array(path, data=X, **how)
    assert np.array_equal(read(path, tmp_path / "c"), X)
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] in "0123456789")
    whole = files[-1].read_bytes()
    files[-1].unlink()
    refused(path, tmp_path / "c")
    files[-1].write_bytes(whole[: len(whole) // 2])
    refused(path, tmp_path / "c")
    files[-1].write_bytes(whole)
    x = X.copy()
    x[0, 0] = 9
    zarr.create_array(path, data=x, **how, overwrite=True)
    assert np.array_equal(read(path, tmp_path / "c"), x)  # not the copy made before


@pytest.mark.parametrize(
    "metadata", [None, "{", "[]", "{}", '{"zarr_format": 9}', '{"node_type": "array"}']
)
def test_zarr_without_its_metadata(tmp_path: Path, metadata: str | None) -> None:
    zarr.save_array(tmp_path / "x.zarr", X)
    if metadata is None:
        (tmp_path / "x.zarr" / "zarr.json").unlink()
    else:
        (tmp_path / "x.zarr" / "zarr.json").write_text(metadata)
    refused(tmp_path / "x.zarr", tmp_path / "c")


def test_an_unknown_codec(tmp_path: Path) -> None:
    zarr.save_array(tmp_path / "x.zarr", X)
    path = tmp_path / "x.zarr" / "zarr.json"
    about = json.loads(path.read_text())
    about["codecs"][-1]["name"] = "nobody"
    path.write_text(json.dumps(about))
    assert "nobody" in refused(tmp_path / "x.zarr", tmp_path / "c").allowed


def test_a_shape_is_that_of_the_file_as_it_is(tmp_path: Path) -> None:
    for rows in (200, 150):
        np.save(tmp_path / "x.npy", X[:rows])
        assert arrays.shape(str(tmp_path / "x.npy")) == (rows, 6)
        assert n_train(SourceConfig(arrays=str(tmp_path / "x.npy"))) == rows * 0.9


def test_a_file_that_changes_while_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No statistics of a mixture are kept."""
    np.save(tmp_path / "x.npy", X)
    right = np.linalg.norm
    calls = []

    def late(*args: Any, **more: Any) -> Any:
        if not calls:
            np.save(tmp_path / "other.npy", X[::-1])
            shutil.copyfile(tmp_path / "other.npy", tmp_path / "x.npy")
            os.utime(tmp_path / "x.npy", (1, 1))
        calls.append(1)
        return right(*args, **more)

    monkeypatch.setattr("realdata.normal.np.linalg.norm", late)
    refused(tmp_path / "x.npy", tmp_path / "c")
    assert not list((tmp_path / "c").rglob("statistics*"))
    assert np.array_equal(read(tmp_path / "x.npy", tmp_path / "c"), X[::-1])


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A real file with some bytes changed, cut, doubled or left out; most harm the header."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(min(len(out), rng.choice((16, 200, len(out))))) if out else 0
        n = rng.choice((1, 2, 8, 64))
        piece = bytes(out[at : at + n])
        digits = bytes(rng.choice(b"0123456789-,[]{}\"'()<>|f") for _ in range(n))
        options = [b"", piece * 2, rng.randbytes(n), digits, bytes(n), b"\xff" * n]
        out[at : at + n] = rng.choice(options)
    return bytes(out)


def fuzzed(seed: int, folder: Path) -> str:
    """What became of one mutated file: `read`, or the field of the ConfigError."""
    rng = random.Random(seed)
    kind = rng.choice((".npy", ".safetensors", ".zarr", ".zarr2"))
    path = folder / f"x{kind[:5] if 'zarr' in kind else kind}"
    target = path
    if kind == ".npy":
        np.save(path, X)
    elif kind == ".safetensors":
        path.write_bytes(save({"a": X, "b": X[0]}))
    else:
        how = {"zarr_format": 2} if kind == ".zarr2" else {}
        zarr.create_array(path, data=X, chunks=(64, 6), **how)
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        about = [p for p in inside if p.name in ("zarr.json", ".zarray")]
        target = rng.choice(inside + about * 3)
    target.write_bytes(mutated(target.read_bytes(), rng))
    name = f"{path}:a" if kind == ".safetensors" else str(path)
    source = SourceConfig(arrays=name, cache=str(folder / "c"), cache_limit=0.01, max_norm=0)
    try:
        with warnings.catch_warnings(action="error"):
            found = Activations.open(source)
            assert arrays.shape(name) == (found.n_train + found.n_eval, found.d_model)
            assert found.batch(0, 8, seed=0).isfinite().all()
        return "read"
    except ConfigError as error:
        return error.field if "\n" not in str(error) else "two lines"


@pytest.mark.parametrize("seed", [*range(60), 1091])  # 1091: a signalling NaN
def test_mutated_files(tmp_path: Path, seed: int) -> None:
    assert fuzzed(seed, tmp_path) in ("read", "source", "source.arrays", "source.cache_limit")
