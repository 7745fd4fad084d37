"""SAEs as other libraries write them: the same SAE in every format, and files that are refused."""

import json
import os
import pickle
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from dictionaries.write_formats import FORMATS, D, M, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from realdata import compare
from synthsae.checks import ConfigError
from synthsae.dictionaries import load, read

BARE = ("npy", "pt")
"""Formats of a decoder alone."""

UNNAMED_BIAS = ("plain", "dictionary_learning_backup")
"""Formats in which no decoder bias can be told: there is none, or its name does not say so."""

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def refused(path: object, **options: object) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        read(path, **options)
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from(DTYPES),
    sizes=st.tuples(st.integers(2, 9), st.integers(2, 4)),
)
def test_every_format_gives_the_same_sae(name, seed, dtype, sizes):
    d, factor = sizes
    w = weights(seed, dtype, m=factor * d, d=d)
    with tempfile.TemporaryDirectory() as place:
        (sae,) = read(FORMATS[name](Path(place) / "sae", w))
    stored = {"decoder": w["W_dec"], "encoder": w["W_enc"].T}
    stored |= {"encoder_bias": w["b_enc"], "decoder_bias": w["b_dec"]}
    for field, expected in stored.items():
        unknown = name in BARE and field != "decoder"
        if unknown or (name in UNNAMED_BIAS and field == "decoder_bias"):
            assert getattr(sae, field) is None
        else:
            np.testing.assert_array_equal(getattr(sae, field), expected.double())
    assert sae.rates is None
    assert not sae.notes
    assert not sae.declared.unknown
    assert not sae.declared.symmetric


def compared(tmp_path: Path, formats: list[str]) -> None:
    saes = [str(FORMATS[name](tmp_path / str(i), weights(i))) for i, name in enumerate(formats)]
    assert compare.main([*saes, "--out", str(tmp_path / "out")]) == 0
    with xr.open_dataset(tmp_path / "out" / "compare.nc", engine="h5netcdf") as ds:
        assert ds.p_hat.shape == (len(formats), M)
        assert ds.seed.values.tolist() == saes


def test_one_command_compares_saes_of_all_formats(tmp_path):
    compared(tmp_path, list(FORMATS))


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_one_command_compares_five_saes_of_a_format(tmp_path, name):
    compared(tmp_path, [name] * 5)


def test_a_decoder_alone_is_turned_only_when_asked(tmp_path):
    rows = weights()["W_dec"]
    turned = {"array.npy": lambda p: np.save(p, rows.numpy().T)}
    turned |= {"tensor.pt": lambda p: torch.save(rows.T, p)}
    for name, write in turned.items():
        write(path := tmp_path / name)
        assert refused(path).field.endswith("decoder")
        np.testing.assert_array_equal(read(path, transpose=True)[0].decoder, rows)
        np.testing.assert_array_equal(read(path, "array")[0].decoder, rows.T)
        path.with_suffix(".json").write_text(json.dumps({"d_sae": M}))
        np.testing.assert_array_equal(read(path)[0].decoder, rows)


def test_the_bytes_of_a_file_say_its_format(tmp_path):
    for name in ("gemma_scope", "dictionary_learning", "openmoss", "npy"):
        path = FORMATS[name](tmp_path / name, weights())
        path = next(f for f in path.iterdir() if f.suffix != ".json") if path.is_dir() else path
        path = path.rename(path.with_name("weights.bin"))
        np.testing.assert_array_equal(read(path)[0].decoder, weights()["W_dec"])


def test_a_gated_sae_has_no_single_encoder_bias(tmp_path):
    w = weights()
    more = {"decoder_bias": w["b_dec"], "gate_bias": w["b_enc"], "mag_bias": w["b_enc"]}
    more |= {"r_mag": w["b_enc"], "encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T}
    torch.save(more, tmp_path / "ae.pt")
    (sae,) = read(tmp_path)
    assert sae.encoder_bias is None
    np.testing.assert_array_equal(sae.decoder_bias, w["b_dec"])


def test_signed_codes_of_older_sparsify_compare_lines(tmp_path):
    path = FORMATS["sparsify"](tmp_path, weights())
    config = json.loads((path / "cfg.json").read_text())
    (path / "cfg.json").write_text(json.dumps(config | {"signed": True}))
    assert read(path)[0].declared.symmetric


def test_firing_rates_of_saelens_say_which_latents_are_live(tmp_path):
    rates = np.geomspace(1e-7, 1, M).astype(np.float32)
    rates[0] = 0
    known = FORMATS["saelens"](tmp_path / "known", weights(0), rates=rates)
    unknown = FORMATS["saelens"](tmp_path / "unknown", weights(1))
    np.testing.assert_allclose(read(known)[0].rates, rates, rtol=1e-5, atol=1e-13)
    found = load([known, unknown])
    np.testing.assert_array_equal(found.live[0], rates >= 1e-4)
    assert found.live[1].all()
    np.testing.assert_allclose(found.rates[0], rates, rtol=1e-5, atol=1e-13)
    assert np.isnan(found.rates[1]).all()
    assert any("latents fire less often than 0.0001" in note for note in found.notes)
    asked = np.ones((2, M))
    assert load([known, unknown], live=asked).live.all()
    np.testing.assert_array_equal(load([known, unknown], live=asked).rates, asked)
    assert load([unknown, weights()["W_dec"]]).rates is None
    save_file({"sparsity": torch.full((M,), torch.nan)}, known / "sparsity.safetensors")
    assert read(known)[0].rates is None  # written before any sample was counted
    for bad in (torch.tensor(rates), torch.zeros(M + 1), torch.full((M - 1,), torch.nan)):
        save_file({"sparsity": bad}, known / "sparsity.safetensors")
        assert refused(known).field.endswith("sparsity.safetensors")
    (known / "sparsity.safetensors").write_bytes(b"no tensors")
    assert refused(known).field.endswith("sparsity.safetensors")


class Malicious:
    """Unpickled, it creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", ["ae.pt", "model.bin", "sae.pkl", "sae.ckpt"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, ending, protocol):
    harm = tmp_path / "harm"
    for content in (Malicious(harm), {"W_dec": weights()["W_dec"], "x": Malicious(harm)}):
        torch.save(content, path := tmp_path / ending)
        assert "a pickle that calls" in str(refused(path))
        path.write_bytes(pickle.dumps(content, protocol))
        refused(path)
        np.save(tmp_path / "a.npy", np.array([content], dtype=object))
        np.savez(tmp_path / "a.npz", W_dec=np.array([content], dtype=object))
        for name in ("a.npy", "a.npz"):
            refused(tmp_path / name)
        assert not harm.exists()
    pickle.loads(path.read_bytes())
    assert harm.exists()  # the file does what it says


def test_a_pickle_of_other_things_is_refused(tmp_path):
    w = weights()["W_dec"]
    odd = {"numbers": {"W_dec": w.int()}, "sparse": {"W_dec": w.to_sparse()}, "none": {"k": 3}}
    odd |= {"repeated": {"W_dec": torch.ones(1, 1).expand(10**6, 10**6)}, "list": [w], "text": "W"}
    odd |= {"meta": {"W_dec": torch.empty(M, D, device="meta")}, "model": torch.nn.Linear(D, M)}
    for name, content in odd.items():
        torch.save(content, path := tmp_path / f"{name}.pt")
        refused(path)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_in_one_line_or_read(name, data):
    """A file that is cut off is always refused; a changed byte may be a change of a number."""
    with tempfile.TemporaryDirectory() as place:
        path = FORMATS[name](Path(place) / "sae", weights())
        files = [f for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file()]
        file = data.draw(st.sampled_from(sorted(files)))
        whole = file.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        file.write_bytes(whole[:at])
        refused(path)
        file.write_bytes(whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :])
        with suppress(ConfigError):
            assert np.isfinite(read(path)[0].decoder).all()


def test_an_index_and_its_shards_fit(tmp_path):
    path = FORMATS["sharded"](tmp_path, weights())
    index = tmp_path / "model.safetensors.index.json"
    np.testing.assert_array_equal(read(index)[0].decoder, weights()["W_dec"])
    shard = "model-00001-of-00002.safetensors"
    assert "shard" in str(refused(path / shard))
    whole = json.loads(index.read_text())["weight_map"]
    wrong = [{}, [1], None, {"W_dec": f"../{shard}"}, {"W_dec": "absent.safetensors"}]
    for weight_map in [*wrong, {"W_dec": shard}, {"W_dec": 3}, whole | {"more": shard}]:
        index.write_text(json.dumps({"weight_map": weight_map}))
        refused(path)


def test_a_folder_of_several_saes_names_them(tmp_path):
    for layer in range(3):
        FORMATS["sparsify"](tmp_path / f"layers.{layer}", weights(layer))
    assert refused(tmp_path).value == ["layers.0/", "layers.1/", "layers.2/"]
