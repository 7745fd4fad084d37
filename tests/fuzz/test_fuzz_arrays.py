"""Arrays: `Activations.open` on .npy, .safetensors and .zarr, whole and damaged."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from fuzzing import answer, edited, edited_header, edits, json_edits
from hypothesis import strategies as st
from safetensors.torch import load, save_file

from realdata.activations import Activations
from realdata.rows import n_train
from synthsae.config.sources import SourceConfig

DTYPES = ["<f4", "<f8", "<f2", "bf16"]
OTHERS = [">f4", ">f8", "<i4", "|u1", "|b1", "<c8", "S3", "U2", "M8[s]"]
factors = st.sampled_from([np.nan, np.inf, 0.0, 1.0, 11.0, 1e6, 1e30, 1e200])
arrays = st.fixed_dictionaries(
    {
        "shape": st.tuples(st.integers(1, 80), st.integers(1, 6))
        | st.lists(st.integers(0, 5), max_size=3).map(tuple),
        "dtype": st.sampled_from(DTYPES * 4 + OTHERS),
        "kind": st.sampled_from([".npy", ".safetensors", ".zarr", ".NPY"]),
        "fortran": st.booleans(),
        "chunks": st.integers(1, 100),
        "zarr": st.sampled_from([2, 3]),
        "seed": st.integers(0, 2**31),
        "scale": st.sampled_from([1.0, 1.0, 1e-30, 1e18, 1e30, 0.0]),
        "rows": st.lists(st.tuples(st.integers(0, 79), factors), max_size=5),
        "source": st.fixed_dictionaries(
            {},
            optional={
                "max_norm": st.sampled_from([0.0, 0.5, 1.0, 2.0, 10.0, 1e300]) | st.floats(0, 20),
                "center": st.booleans(),
                "scale": st.booleans(),
                "held_out": st.floats(0.01, 0.9),
            },
        ),
        "bytes": st.just([]) | edits,
        "header": st.just([]) | json_edits,
    }
)


def made(example):
    """The array, as NumPy has it, or for bfloat16 torch."""
    rng, dtype = np.random.default_rng(example["seed"]), example["dtype"]
    x = np.asarray(rng.standard_normal(example["shape"]) * example["scale"])
    for row, value in example["rows"]:
        if x.ndim == 2 and row < len(x):
            x[row] *= value
    if dtype == "bf16":
        return torch.from_numpy(x).bfloat16()
    with np.errstate(all="ignore"):
        x = x.astype("<i8").astype(dtype) if dtype[0] in "SUM" else x.astype(dtype)
    return np.asfortranarray(x) if example["fortran"] else x


def write(path, x, example):
    """Write it, and damage it."""
    import zarr

    if path.suffix == ".zarr":
        x = x.float().numpy() if isinstance(x, torch.Tensor) else x
        chunks = tuple(min(example["chunks"], max(n, 1)) for n in x.shape)
        form = {"zarr_format": example["zarr"], "chunks": chunks}
        made = zarr.create_array(path, shape=x.shape, dtype=x.dtype, **form)
        if x.size:
            made[...] = x
    elif path.suffix == ".safetensors":
        save_file({"x": x if isinstance(x, torch.Tensor) else torch.tensor(x)}, path)
    else:
        with open(path, "wb") as f:
            np.save(f, x.float().numpy() if isinstance(x, torch.Tensor) else x)
    parts = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for part in parts[:2]:
        data = edited(part.read_bytes(), example["bytes"])
        if path.suffix == ".safetensors" and example["header"] and not example["bytes"]:
            data = edited_header(data, example["header"])
        part.write_bytes(data)


def independent(path):
    """The array as its own library reads it, float64 [n, D]; None where that refuses."""
    import zarr

    try:
        if path.suffix == ".zarr":
            return np.asarray(zarr.open_array(path, mode="r")[...], float)
        if path.suffix == ".safetensors":
            (x,) = load(path.read_bytes()).values()
            return x.double().numpy()
        return np.load(path, allow_pickle=False).astype(float)
    except Exception:
        return None


def check_arrays(example):
    """Refused, or the rows that NumPy reads, but for those left out, centred and scaled."""
    with tempfile.TemporaryDirectory() as place:
        path, x = Path(place) / f"x{example['kind']}", made(example)
        try:
            write(path, x, example)
        except (TypeError, ValueError, KeyError):  # a dtype that this kind of file has not
            return
        source = answer(
            lambda: SourceConfig(arrays=str(path), cache=f"{place}/cache", **example["source"])
        )
        a = source and answer(lambda: Activations.open(source))
        want = independent(path)
        ordinary = example["dtype"] in DTYPES and x.ndim == 2 and len(x) > 20
        ordinary &= 0 not in x.shape and example["scale"] == 1 and not example["rows"]
        ordinary &= not (example["bytes"] or example["header"]) and path.suffix != ".NPY"
        ordinary &= not 0 < example["source"].get("max_norm", 0) < 5
        assert a is not None or not ordinary, "an ordinary array was refused"
        if a is None:
            return
        assert want is not None, "read, but its own library refuses it"
        assert want.ndim == 2, "not rows"
        with np.errstate(over="ignore"):
            want = want.astype(np.float32).astype(float)
        n, out = n_train(a.source), {s: split.left_out for s, split in a.splits.items()}
        assert len(want) - n == max(1, round(len(want) * source.held_out)), "held out"
        rows = {"data": np.delete(want[:n], out["train"], 0)}
        rows["eval"] = np.delete(want[n:], out["eval"], 0)
        kept = np.concatenate(list(rows.values()))
        cut = np.concatenate([want[:n][out["train"]], want[n:][out["eval"]]])
        assert np.isfinite(kept).all(), "kept what is not finite"
        cut = cut[np.isfinite(cut).all(1)]
        assert not (len(cut) and source.max_norm == 0 and cut.any(1).any()), "cut without max_norm"
        big = np.linalg.norm(cut[cut.any(1)], axis=1)
        assert not len(big) or big.min() >= np.linalg.norm(kept, axis=1).max(), "cut a small row"
        check_normal(a, source, rows)


def check_normal(a, source, rows):
    """What is read is the row, centred and scaled by numbers that the kept rows say."""
    train, seen = rows["data"], {}
    mean = train.mean(0) * source.center
    factor = 1.0
    if source.scale:
        factor = (train.shape[1] / ((train - mean) ** 2).sum(1).mean()) ** 0.5
    for stream, x in rows.items():
        seen[stream] = a.read(np.arange(len(x)), stream).double().numpy()
        want = (x - mean) * factor
        error = np.abs(seen[stream] - want).max(initial=0)
        size = np.abs(factor * np.concatenate([x.ravel(), mean])).max(initial=0)
        assert error <= 1e-5 * size, f"other rows in {stream}"
    batch = a.batch(0, 7, seed=1)
    assert batch.shape == (7, a.d_model)
    assert torch.isfinite(batch).all(), "a batch is not finite"


def test_arrays(fuzz):
    fuzz(check_arrays, arrays)
