"""Weights: `realdata.compare` on any layout, and damaged files of every kind that is read."""

import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from fuzzing import answer, edited, edited_header, edited_json, edits, json_edits
from hypothesis import strategies as st
from saelens_format import MORE, X, ours, put, random_stack, saelens
from safetensors.torch import load, save_file

from realdata.compare import compare
from synthsae import consensus, load_consensus, save_consensus
from synthsae.dictionaries import read, stacked
from synthsae.sae import ARCHITECTURES, SAEConfig, SAEStack
from synthsae.sae.saelens import load_saelens

DTYPES = ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
ODD = ["int8", "uint8", "packed", "complex64"]
LAYOUTS = [
    "W_dec",
    "dictionary",
    "decoder.weight",
    "stack",
    "W_dec turned",
    "decoder.weight turned",
]
seeds = st.integers(0, 2**31)
files = st.fixed_dictionaries(
    {
        "seed": seeds,
        "layout": st.sampled_from(LAYOUTS),
        "dtype": st.sampled_from(DTYPES + ODD),
        "encoder": st.booleans(),
        "bias": st.booleans(),
        "prefix": st.sampled_from(["", "", "sae.", "model.decoder."]),
        "dead": st.integers(0, 3),
    }
)
dictionaries = st.fixed_dictionaries(
    {
        "m": st.integers(4, 20) | st.integers(41, 50),  # never D, dead rows and all
        "d": st.integers(24, 40),
        "same": st.booleans(),
        "kind": st.sampled_from([None, None, "standard", "topk", "abstopk"]),
        "seed": seeds,
        "files": st.lists(files, min_size=2, max_size=3),
    }
)


def cast(x, dtype, rng):
    """A tensor of that dtype whose rows point as those of `x`, or what quantised files hold."""
    if dtype == "packed":  # two signed numbers of 4 bits in a byte
        q = np.clip(np.round(x / np.abs(x).max() * 7), -8, 7).astype(int) & 15
        q = q[:, : q.shape[1] // 2 * 2]
        return torch.from_numpy((q[:, ::2] | q[:, 1::2] << 4).astype(np.uint8))
    if dtype == "complex64":
        return torch.from_numpy(x * np.exp(2j * np.pi * rng.random((len(x), 1)))).to(
            torch.complex64
        )
    if dtype in ("int8", "uint8"):
        zero = 128 * (dtype == "uint8")
        return torch.from_numpy(np.round(x / np.abs(x).max() * 127) + zero).to(
            getattr(torch, dtype)
        )
    return torch.from_numpy(x).to(getattr(torch, dtype))


def written(folder, rows, how, kind):
    """The file or folder of one SAE with these decoder rows, up to their order and lengths."""
    rng = np.random.default_rng(how["seed"])
    w = rows[rng.permutation(len(rows))] * rng.uniform(0.5, 2, (len(rows), 1))
    if kind == "abstopk":
        w *= rng.choice([-1, 1], (len(w), 1))
    m, d = w.shape
    if how["layout"] == "stack":
        stack = SAEStack.init(SAEConfig(n_latents=m, k=2), d, [how["seed"]])
        stack.params["w_dec"] = torch.from_numpy(w)[None].float()
        stack.save(folder / "stack.safetensors")
        return folder / "stack.safetensors"
    name, _, turned = how["layout"].partition(" ")
    w = np.concatenate([w, np.zeros((how["dead"], d))])
    columns = (name == "decoder.weight") != bool(turned)
    t = {name: cast(w.T if columns else w, how["dtype"], rng)}
    if how["encoder"]:
        t["encoder.weight" if "." in name else "W_enc"] = torch.from_numpy(
            w if ("." in name) != bool(turned) else w.T
        ).float()
    if how["bias"] or (turned and kind is None):  # an encoder that is turned too does not say it
        t |= {"b_dec": torch.zeros(d), "b_enc": torch.zeros(len(w))}
    t = {how["prefix"] + n: v.contiguous().clone() for n, v in t.items()}
    folder.mkdir()
    save_file(t, folder / "sae_weights.safetensors")
    if kind is None:
        return folder / "sae_weights.safetensors"
    cfg = {"architecture": kind, "k": 2, "d_in": d, "d_sae": len(w)}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    return folder


def check_dictionaries(example):
    """The same dictionary comes back whole, another one does not; odd files may be refused."""
    rng, (m, d) = np.random.default_rng(example["seed"]), (example["m"], example["d"])
    base = rng.standard_normal((m, d))
    kind = example["kind"] if all(f["layout"] != "stack" for f in example["files"]) else None
    with tempfile.TemporaryDirectory() as place:
        paths = []
        for i, how in enumerate(example["files"]):
            other = rng.standard_normal((m, d))
            rows = base + 0.05 * other if example["same"] else other
            folder = Path(place) / str(i)
            if how["layout"] == "stack":
                folder.mkdir()
            paths.append(written(folder, rows, how, kind))
        saes = answer(lambda: stacked([sae for path in paths for sae in read(path)]))
        ordinary = all(
            f["dtype"] in DTYPES[:4] and "turned" not in f["layout"] and not f["prefix"]
            for f in example["files"]
        ) and kind != "abstopk"  # fmt: skip
        assert saes is not None or not ordinary, "an ordinary file was refused"
        if saes is None:
            return
        ds = answer(lambda: compare(saes))
        if ds is None:
            return
        assert (ds.latents == m).all(), "latents were lost or made up"
        found = np.nanmean(ds.p_hat)
        assert found > 0.9 if example["same"] else found < 0.3, "p_hat is wrong"


def test_dictionaries(fuzz):
    fuzz(check_dictionaries, dictionaries)


@cache
def originals():
    """Small files of every kind, by name: (file name -> bytes)."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for arch in ARCHITECTURES:
            options = {"heads": 1, "m": 3, "n": 4} if arch == "kron" else {}
            random_stack(arch, options=options).save(folder / f"stack-{arch}")
        for kind in MORE:
            put(folder / f"saelens-{kind}", kind)
        rng = np.random.default_rng(0)
        d = rng.standard_normal((9, 6)) + 0.1 * rng.standard_normal((3, 9, 6))
        ds = consensus(d, rates=np.full((3, 9), 0.1), energy=np.ones((3, 9)))
        save_consensus(ds, folder / "consensus")
        save_file({"decoder.weight": torch.from_numpy(d[0].T.copy())}, folder / "single")
        return {
            p.name: {f.name: f.read_bytes() for f in ([p] if p.is_file() else p.iterdir())}
            for p in sorted(folder.iterdir())
        }


@st.composite
def damaged(draw):
    one = {"file": draw(st.sampled_from(sorted(originals())))}
    what = draw(st.sampled_from(["bytes", "header", "cfg"]))
    return one | {what: draw(edits if what == "bytes" else json_edits)}


def check_damaged(example):
    """Refused, or read as another reader reads it, into numbers that can be used."""
    name = example["file"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "sae"
        folder.mkdir()
        for part, data in originals()[name].items():
            if part == "cfg.json":
                cfg = edited_json(json.loads(data), example.get("cfg", []))
                (folder / part).write_text(json.dumps(cfg))
                continue
            data = edited_header(data, example["header"]) if "header" in example else data
            path = folder / (part if "saelens" in name else f"{part}.safetensors")
            path.write_bytes(edited(data, example.get("bytes", [])))
        check_read(path)
        if "stack" in name and (stack := answer(lambda: SAEStack.load(path))):
            check_stack(stack)
        if "saelens" in name and (stack := answer(lambda: load_saelens(folder))):
            check_stack(stack)
            check_numbers(ours(stack), folder)
        if name == "consensus":
            ds = answer(lambda: load_consensus(path), ValueError)
            if ds is not None:
                save_consensus(ds, folder / "again")
                xr.testing.assert_identical(ds, load_consensus(folder / "again"))


def check_numbers(found, folder):
    """Codes and reconstructions are those of SAELens's equations, where float32 can hold these."""
    try:
        with np.errstate(all="ignore"):
            z, out = saelens(folder, X)
    except KeyError:  # a setting that has a default
        return
    if not max(np.abs(z).max(), np.abs(out).max()) < 1e9:
        return
    if ((z > 0) == (found[0] > 0)).all():
        assert np.abs(out - found[1]).max() <= 1e-4 * (1 + np.abs(out).max()), "other numbers"
    else:  # but for rounding at a threshold
        assert ((z > 0) != (found[0] > 0)).any(1).mean() < 0.05, "other latents fire"


def check_read(path):
    saes = answer(lambda: read(path))
    if saes is None:
        return
    tensors = [t.double().numpy() for t in load(path.read_bytes()).values() if not t.is_complex()]
    tensors = [x for t in tensors for x in (t if t.ndim == 3 else [t])]
    for sae in saes:
        w, dead = sae.decoder, ~sae.decoder.any(1, keepdims=True)
        assert np.isfinite(w).all(), "decoder is not finite"
        tables = [x for t in tensors if t.ndim == 2 for x in (t, t.T) if x.shape == w.shape]
        assert any((dead | (w == x)).all() for x in tables), "decoder is no tensor of the file"


def check_stack(stack):
    """It encodes and decodes, and all of it is finite."""
    s, m, d = stack.params["w_dec"].shape
    assert s == len(stack.seeds), "seeds do not fit"
    assert m == stack.config.size, "latents do not fit"
    for name, p in stack.params.items():  # a threshold of 0 or infinity has its uses
        bad = p.isnan() if "threshold" in name else ~p.isfinite()
        assert not bad.any(), f"not finite: {'threshold' if 'threshold' in name else 'weights'}"
    code = stack.encode(torch.ones(3, d))
    assert stack.decode(code).shape == (s, 3, d), "decode"


@pytest.mark.slow
def test_damaged_weights(fuzz):
    fuzz(check_damaged, damaged())
