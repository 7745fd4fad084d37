"""Weights that are no directions as they are, or none at all; and what is done with the others."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

from realdata import compare
from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.dictionaries import read, stacked
from synthsae.sae import SAEConfig, SAEStack

M, D = 24, 12
RNG = np.random.default_rng(0)
BASE = RNG.standard_normal((M, D))


def put(path: Path, config: dict | None = None, /, **tensors: object) -> str:
    path.mkdir(exist_ok=True)
    made = {
        n: (x if isinstance(x, torch.Tensor) else torch.tensor(np.array(x))).contiguous()
        for n, x in tensors.items()
    }
    save_file(made, path / "sae_weights.safetensors")
    if config is not None:
        (path / "cfg.json").write_text(json.dumps(config))
    return str(path)


def run(tmp_path: Path, *saes: str, more: tuple[str, ...] = ()) -> xr.Dataset:
    assert compare.main([*saes, "--out", str(tmp_path / "out"), *more]) == 0
    return xr.load_dataset(tmp_path / "out" / "compare.nc", engine="h5netcdf")


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool, torch.complex64),
        *(torch.float8_e4m3fn, torch.float8_e5m2),
    ],
)
@pytest.mark.parametrize("name", ["W_dec", "W_enc", "b_enc"])
def test_only_floating_point_numbers_are_directions(tmp_path, name, dtype):
    tensors = {"W_dec": BASE, "W_enc": BASE.T, "b_enc": np.zeros(M)}
    tensors[name] = torch.tensor(tensors[name] * 20).to(dtype)
    with pytest.raises(ConfigError) as error:
        read(put(tmp_path / "sae", **tensors))
    assert error.value.field.endswith(name)


@pytest.mark.parametrize("name", ["decoder.qweight", "encoder.weight.absmax", "W_dec.SCB"])
def test_packed_weights_are_refused_whatever_lies_beside_them(tmp_path, name):
    with pytest.raises(ConfigError) as error:
        read(put(tmp_path / "sae", W_dec=BASE, **{name: np.zeros(3)}))
    assert error.value.field.endswith(name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_floating_point_numbers_are_read(tmp_path, dtype):
    stored = torch.tensor(BASE).to(dtype)
    (sae,) = read(put(tmp_path / "sae", W_dec=stored))
    np.testing.assert_array_equal(sae.decoder, stored.double())


@pytest.mark.parametrize("name", ["W_dec", "W_enc", "b_enc", "b_dec", "threshold", "other"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_and_counted(tmp_path, name, value):
    tensors = {"W_dec": BASE, "W_enc": BASE.T, "b_enc": np.zeros(M), "b_dec": np.zeros(D)}
    tensors |= {"threshold": np.ones(M), "other": np.ones(3)}
    tensors = {n: x.copy() for n, x in tensors.items()}
    tensors[name][0] = value
    path = put(tmp_path / "sae", **tensors)
    if name == "threshold" and not np.isnan(value):
        (sae,) = read(path)
        assert sae.decoder.any(axis=1).sum() == (M - 1 if value > 0 else M)
        return
    with pytest.raises(ConfigError) as error:
        read(path)
    assert error.value.field.endswith(name)
    assert error.value.value.startswith(f"{np.size(tensors[name][0])} NaN")


def test_stacks_of_ours_that_are_not_finite_or_not_of_their_config(tmp_path):
    path = tmp_path / "stack.safetensors"
    for name, value in (("w_dec", np.nan), ("log_threshold", np.nan), ("b_dec", np.inf)):
        stack = SAEStack.init(SAEConfig("jumprelu", n_latents=M), D, (0, 1))
        stack.params[name][1] = value
        stack.save(path)
        for load in (SAEStack.load, read):
            with pytest.raises(ConfigError) as error:
                load(path)
            assert error.value.field.endswith(name)
    stack = SAEStack.init(SAEConfig("jumprelu", n_latents=M), D, (0, 1))
    stack.params["log_threshold"][0, :3] = np.inf
    stack.save(path)
    assert [s.decoder.any(axis=1).sum() for s in read(path)] == [M - 3, M]
    changes = {"w_dec": stack.params["w_dec"][:, 1:], "w_enc": stack.params["w_enc"][:1]}
    changes |= {"b_dec": stack.params["b_dec"].int(), "new": torch.zeros(2)}
    for name, tensor in changes.items():
        SAEStack(stack.config, stack.seeds, stack.params | {name: tensor}).save(path)
        with pytest.raises(ConfigError):
            SAEStack.load(path)


def test_dead_latents_are_counted_and_named(tmp_path, capsys):
    other, dead = RNG.permutation(BASE), np.ones(M)
    dead[:3] = np.inf
    a = put(tmp_path / "a", W_dec=BASE, threshold=dead)
    b = put(tmp_path / "b", W_dec=np.where(np.arange(M)[:, None] < 2, 0, other))
    ds = run(tmp_path, a, b)
    assert ds.dead_latents.values.tolist() == [3, 2]
    assert ds.live_latents.values.tolist() == [M - 3, M - 2]
    assert ds.p_hat[0, :3].isnull().all()
    text = capsys.readouterr()
    assert f"Dead latents are left out: 3 of {a}, 2 of {b}." in text.out
    assert any(line.startswith(f"realdata.compare: {a}: 3 of") for line in text.err.splitlines())


def test_a_scaling_factor_turns_and_kills_rows(tmp_path):
    scale = np.ones(M)
    scale[:2] = -2, 0
    (sae,) = read(put(tmp_path / "sae", W_dec=BASE, scaling_factor=scale))
    np.testing.assert_array_equal(sae.decoder, BASE * scale[:, None])
    assert len(sae.notes) == 2


def test_rows_of_any_length_are_directions(tmp_path):
    scale = 10.0 ** RNG.uniform(-300, 140, (M, 1))
    one, two = (read(put(tmp_path / n, W_dec=BASE * s))[0] for n, s in (("a", 1), ("b", scale)))
    saes = stacked([one, two._replace(decoder=two.decoder[::-1])])
    np.testing.assert_allclose(saes.directions[0], saes.directions[1][::-1], rtol=1e-13)


SYMMETRIC = [
    {"architecture": "abstopk"},
    {"architecture": "abs_topk", "activation_fn": "relu"},
    {"activation": "AbsTopK"},
    {"trainer": {"dict_class": "BatchAbsTopKSAE"}},
    {"activation_fn": {"name": "abs-topk", "k": 4}},
]


@pytest.mark.parametrize("config", SYMMETRIC)
def test_signs_of_codes_of_either_sign_do_not_matter(tmp_path, capsys, config):
    """Every score, and its chance, is that of lines, not of directions."""
    saes = []
    for i in range(3):
        rows = RNG.permutation(BASE) * RNG.choice([-1, 1], (M, 1))
        saes.append(put(tmp_path / str(i), config, W_dec=rows, W_enc=rows.T))
    ds = run(tmp_path, *saes)
    assert ds.attrs["cosines"] == "absolute"
    assert (ds.p_hat == 1).all()
    others = ~np.eye(3, dtype=bool)
    for name in ("found_share", "pairwise_mcc", "mmcs", "shared_share", "matched_share"):
        np.testing.assert_allclose(ds[name].values[others], 1, err_msg=name)
    chance = 1 - (1 - 2 * theory.cap_measure(D, 0.7)) ** M
    np.testing.assert_allclose(ds.live_reappearance_chance, chance)
    assert ds.mmcs_chance[0] == pytest.approx(theory.chance_max_cosine(D, M, absolute=True))
    expected = theory.chance_matched_cosine(D, M, absolute=True)
    assert float(ds.pairwise_mcc_chance) == pytest.approx(expected, abs=0.02)
    assert "absolute" in capsys.readouterr().out


def test_signs_matter_elsewhere_or_where_nobody_knows(tmp_path, capsys):
    turned = put(tmp_path / "a", {"architecture": "grassmann"}, W_dec=-BASE)
    there = put(tmp_path / "b", {"architecture": "topk"}, W_dec=BASE[::-1])
    ds = run(tmp_path, turned, there)
    assert ds.attrs["cosines"] == "signed"
    assert float(ds.pairwise_mcc[0, 1]) < 0.6
    assert "grassmann is not known: signed" in capsys.readouterr().err
    assert "grassmann" in ds.attrs["notes"]
    assert run(tmp_path, turned, there, more=("--absolute",)).pairwise_mcc[0, 1] > 1 - 1e-9
    mixed = put(tmp_path / "c", {"architecture": "abstopk"}, W_dec=BASE[::2])
    assert compare.main([there, mixed, "--out", str(tmp_path / "out")]) == 2
    assert "architecture" in capsys.readouterr().err


def test_copies_are_groups_and_count_once(tmp_path, capsys):
    other, third = RNG.standard_normal((2, M, D))
    stored = {"A": BASE, "A2": 3 * BASE, "B": other, "part": BASE[: M // 2], "C": third}
    saes = {n: put(tmp_path / n, W_dec=x) for n, x in stored.items()}
    saes["B16"] = put(tmp_path / "B16", W_dec=torch.tensor(other).bfloat16())
    saes["B32"] = put(tmp_path / "B32", W_dec=torch.tensor(other).float())
    alone = run(tmp_path, *(saes[n] for n in ("A", "B", "part", "C")))
    capsys.readouterr()
    ds = run(tmp_path, *saes.values())
    groups = [[saes["A"], saes["A2"]], [saes["B"], saes["B16"], saes["B32"]]]
    assert json.loads(ds.attrs["copies"]) == groups
    text = "; ".join(", ".join(group) for group in groups)
    assert f"Copies of one another: {text} (" in capsys.readouterr().out
    assert ds.seed.values.tolist() == [saes[n] for n in ("A", "B", "part", "C")]
    for name in ("p_hat", "pairwise_mcc", "found_share"):
        np.testing.assert_array_equal(ds[name], alone[name])


def test_the_same_sae_twice_is_no_comparison(tmp_path, capsys):
    sae = put(tmp_path / "sae", W_dec=BASE)
    (tmp_path / "link").symlink_to(sae)
    for again in (sae, f"{sae}/", str(tmp_path / "link"), f"{sae}/sae_weights.safetensors"):
        assert compare.main([sae, again, "--out", str(tmp_path / "out")]) == 2
    turned = {"architecture": "abstopk"}
    one, two = (put(tmp_path / n, turned, W_dec=w) for n, w in (("a", BASE), ("b", -BASE)))
    assert compare.main([one, two, "--out", str(tmp_path / "out")]) == 2
    assert all("copies of one another" in x for x in capsys.readouterr().err.splitlines())


def test_seeds_that_agree_in_all_but_noise_are_no_copies(tmp_path):
    saes = [
        put(tmp_path / str(i), W_dec=BASE + 1e-3 * RNG.standard_normal(BASE.shape)) for i in "abc"
    ]
    assert (run(tmp_path, *saes).p_hat == 1).all()


def test_encoders_are_compared_of_all_or_none(tmp_path, capsys):
    a = put(tmp_path / "a", W_dec=BASE, W_enc=BASE.T)
    b = put(tmp_path / "b", W_dec=BASE[::-1])
    ds = run(tmp_path, a, b)
    assert "shared_share" not in ds
    assert "encoders are not compared: 1 of 2" in capsys.readouterr().err
    wide = RNG.standard_normal((M, 30))
    config = {"architecture": "transcoder", "d_in": 30, "d_out": D}
    saes = [
        put(tmp_path / str(i), config, W_dec=BASE[order], W_enc=wide[order].T)
        for i, order in enumerate((np.arange(M), RNG.permutation(M)))
    ]
    assert (run(tmp_path, *saes).shared_share.values[[0, 1], [1, 0]] == 1).all()


def test_npz_is_read_and_nothing_in_it_is_unpickled(tmp_path):
    tensors = {"W_dec": BASE, "W_enc": BASE.T, "b_enc": np.zeros(M), "threshold": np.ones(M)}
    path = tmp_path / "params.npz"
    for write in (np.savez, np.savez_compressed):
        write(path, **{n: x.astype(np.float32) for n, x in tensors.items()})
        for there in (tmp_path, path):
            (sae,) = read(there)
            np.testing.assert_array_equal(sae.decoder, BASE.astype(np.float32))
            np.testing.assert_array_equal(sae.encoder, BASE.astype(np.float32))
    for bad in (np.array([{}]), BASE.astype(np.int8), np.array(["a"])):
        np.savez(path, W_dec=bad)
        with pytest.raises(ConfigError):
            read(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigError):
        read(path)


def test_folders_and_paths_that_hold_no_single_file_of_weights(tmp_path):
    def refused(path: Path) -> str:
        with pytest.raises(ConfigError) as error:
            read(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    for name in ("empty", "x.safetensors"):
        (tmp_path / name).mkdir()
        refused(tmp_path / name)
    (tmp_path / "x.safetensors" / "y.safetensors").mkdir()
    refused(tmp_path / "x.safetensors")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop")
    refused(tmp_path / ("x" * 300))
    whole = Path(put(tmp_path / "one", W_dec=BASE), "sae_weights.safetensors").read_bytes()
    shards = tmp_path / "shards"
    shards.mkdir()
    for i in (1, 2):
        (shards / f"model-0000{i}-of-00002.safetensors").write_bytes(whole)
    refused(shards)
    assert "shard" in refused(shards / "model-00001-of-00002.safetensors")
    (shards / "model-00002-of-00002.safetensors").unlink()
    assert "shard" in refused(shards)
    (shards / "sae_weights.safetensors").write_bytes(whole)
    assert read(shards)[0].decoder.shape == (M, D)
    for data in (b"", b"\xff" * 8, whole[:60], whole[:-1], whole + b"x", b"{}" * 40):
        (tmp_path / "bad.safetensors").write_bytes(data)
        refused(tmp_path / "bad.safetensors")


def test_names_that_are_not_utf8_are_printed_as_they_can_be(tmp_path, capfdbinary):
    saes = [put(tmp_path / n, W_dec=x) for n, x in (("a", BASE), ("b", BASE[::-1]))]
    out = os.fsdecode(os.fsencode(tmp_path / "out") + b"\xe9")
    assert compare.main([*saes, "--out", out]) == 0
    assert rb"out\xe9/report.html" in capfdbinary.readouterr().out
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.safetensors")
    assert compare.main([odd, odd]) == 2
    Path(odd).write_bytes(Path(saes[0], "sae_weights.safetensors").read_bytes())
    assert compare.main([odd, odd]) == 2  # the reader of safetensors takes no such name
    assert len(capfdbinary.readouterr().err.splitlines()) == 2


@pytest.mark.slow
def test_interrupted_while_it_imports_or_computes(tmp_path, monkeypatch, capsys):
    saes = [put(tmp_path / n, W_dec=x) for n, x in (("a", BASE), ("b", BASE[::-1]))]
    code = """
import os, runpy, signal, sys
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == WHEN:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Slow())
runpy.run_module("realdata.compare", run_name="__main__", alter_sys=True)
"""
    for when in ("argparse_", "torch", "xarray", "h5netcdf"):
        argv = [sys.executable, "-c", code.replace("WHEN", repr(when)), *saes]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
        want = 0 if when == "argparse_" else 130
        assert done.returncode == want, done.stderr
        if want:
            last = done.stderr.replace("\r", "\n").strip().splitlines()[-1]
            assert last.startswith("realdata.compare: stopped")
            assert "Traceback" not in done.stderr

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "compare", interrupted)
    assert compare.main([*saes, "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.strip() == "realdata.compare: stopped"
    assert not list((tmp_path / "out").iterdir())


def test_an_interrupt_waits_until_files_are_whole(tmp_path, monkeypatch):
    saes = [put(tmp_path / n, W_dec=x) for n, x in (("a", BASE), ("b", BASE[::-1]))]
    write_all = compare.files.write_all

    def interrupted(parts: dict[Path, bytes], name: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        write_all(parts, name)

    monkeypatch.setattr(compare.files, "write_all", interrupted)
    assert compare.main([*saes, "--out", str(tmp_path / "out")]) == 130
    names = sorted(f.name for f in (tmp_path / "out").iterdir())
    assert names == ["compare.nc", "compare.pdf", "compare.png"]
