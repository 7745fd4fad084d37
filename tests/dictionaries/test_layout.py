"""Which way round weights are, whatever they are called: names, vectors and configs decide."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthsae.checks import ConfigError
from synthsae.dictionaries import read

M, D = 7, 5
ROWS, ENC = np.random.default_rng(0).standard_normal((2, M, D))
VECTORS = {"latent_bias": np.zeros(M), "pre_bias": np.zeros(D)}


def put(path: Path, config: object = None, /, **tensors: np.ndarray) -> Path:
    """A folder with these tensors; `__` in a name is a dot."""
    path.mkdir(exist_ok=True)
    named = {n.replace("__", "."): torch.tensor(np.array(x, order="C")) for n, x in tensors.items()}
    save_file(named, path / "sae.safetensors")
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return path


def is_read(path: Path, encoder: bool = True, **options: object) -> tuple[str, ...]:
    (sae,) = read(path, **options)
    np.testing.assert_array_equal(sae.decoder, ROWS)
    if encoder:
        np.testing.assert_array_equal(sae.encoder, ENC)
    else:
        assert sae.encoder is None
    return sae.notes


@pytest.mark.parametrize(
    "tensors",
    [
        {"W_dec": ROWS, "W_enc": ENC.T, "b_enc": np.zeros(M), "b_dec": np.zeros(D)},  # SAELens
        {"encoder__weight": ENC, "encoder__bias": np.zeros(M), "W_dec": ROWS},  # sparsify
        {"decoder__weight": ROWS.T, "encoder__weight": ENC, "bias": np.zeros(D)},
        {"decoder__weight": ROWS.T, "encoder__weight": ENC} | VECTORS,  # OpenAI
        {"W_D": ROWS, "W_E": ENC.T, "b_D": np.zeros(D), "b_E": np.zeros(M)},  # OpenMOSS
        {"sae__decoder__weight": ROWS.T, "sae__encoder__weight": ENC},
        {"module__W_dec": ROWS, "module__W_enc": ENC.T, "b_dec": np.zeros((1, D))},
    ],
)
def test_layouts_of_others_are_read_without_a_word(tmp_path, tensors):
    assert is_read(put(tmp_path / "sae", **tensors)) == ()


@pytest.mark.parametrize(
    "fixed", [*({n: v} for n, v in VECTORS.items()), {"threshold": np.ones(M)}, VECTORS]
)
@pytest.mark.parametrize("stored", [ROWS, ROWS.T])
@pytest.mark.parametrize("name", ["decoder__weight", "W_dec", "my_decoder", "dec_w"])
def test_vectors_say_more_than_names(tmp_path, name, stored, fixed):
    for encoder in (ENC, ENC.T):
        is_read(put(tmp_path / "sae", **{name: stored, "encoder__weight": encoder} | fixed))


@pytest.mark.parametrize(
    "config",
    [
        {"d_in": D},
        {"d_sae": M},
        {"trainer": {"activation_dim": D, "dict_size": M, "dict_class": "AutoEncoderTopK"}},
        {"num_latents": 0, "expansion_factor": 1.4, "d_in": D, "activation": "topk"},
        {"hidden_dim": D, "num_latents": M},
        {"input_dim": D, "hidden_dim": M},
        {"d_in": D, "d_model": 999},
    ],
)
def test_configs_say_more_than_names(tmp_path, config):
    notes = is_read(put(tmp_path / "sae", config, decoder__weight=ROWS, encoder__weight=ENC))
    assert len(notes) == 1
    assert "decoder.weight [7, 5] is read as [M, D]" in notes[0]


@pytest.mark.parametrize("name", ["enc", "W_encoder", "encoder__0__weight", "fc1__weight", "E"])
@pytest.mark.parametrize("stored", [ENC, ENC.T])
def test_an_encoder_of_an_unknown_name_is_read_and_named(tmp_path, name, stored):
    notes = is_read(put(tmp_path / "sae", W_dec=ROWS, **{name: stored}))
    assert [name.replace("__", ".") in note for note in notes] == [True]


def test_encoders_that_cannot_be_told_apart_are_named(tmp_path):
    notes = is_read(put(tmp_path / "sae", W_dec=ROWS, one=ENC, two=ENC), encoder=False)
    assert "one [7, 5], two [7, 5]" in notes[0]
    odd = is_read(put(tmp_path / "sae", W_dec=ROWS, enc_fc=ENC[:3, :3]), encoder=False)
    assert "enc_fc [3, 3]" in odd[0]


def test_a_transcoder_has_an_encoder_of_another_width(tmp_path):
    wide = np.random.default_rng(1).standard_normal((M, 9))
    config = {"architecture": "transcoder", "d_in": 9, "d_out": D, "d_sae": M}
    (sae,) = read(put(tmp_path / "sae", config, W_dec=ROWS, W_enc=wide.T))
    np.testing.assert_array_equal(sae.decoder, ROWS)
    np.testing.assert_array_equal(sae.encoder, wide)
    with pytest.raises(ConfigError) as error:
        read(put(tmp_path / "bare", W_dec=ROWS, W_enc=wide.T))
    assert error.value.field.endswith("W_enc")


def test_a_square_decoder_follows_its_name_and_says_so(tmp_path):
    square, vectors = ROWS[:D], {"b_enc": np.zeros(D), "b_dec": np.zeros(D)}
    for name, stored in (("W_dec", square), ("decoder__weight", square.T)):
        (sae,) = read(put(tmp_path / name, **{name: stored, "W_enc": ENC[:D].T} | vectors))
        np.testing.assert_array_equal(sae.decoder, square)
        np.testing.assert_array_equal(sae.encoder, ENC[:D])
        assert "by its name alone" in sae.notes[0]
    with pytest.raises(ConfigError):
        read(put(tmp_path / "sae", my_dec=square))
    assert read(tmp_path / "sae", "my_dec", transpose=True)[0].decoder[1, 0] == square[0, 1]


@pytest.mark.parametrize(
    ("config", "tensors", "field"),
    [
        ({"d_sae": 8}, {"W_dec": ROWS}, "W_dec as [M, D]"),
        ({"d_in": 8, "d_sae": M}, {"W_dec": ROWS}, "W_dec as [M, D]"),
        ({"d_in": M, "d_sae": M}, {"W_dec": ROWS}, "W_dec as [M, D]"),
        (None, {"W_dec": ROWS, "b_enc": np.zeros(8)}, "W_dec as [M, D]"),
        (None, {"W_dec": ROWS, "b_enc": np.zeros(D), "b_dec": np.zeros(D)}, "W_dec as [M, D]"),
        ({"d_sae": M}, {"W_dec": ROWS, "b_enc": np.zeros(D)}, "W_dec as [M, D]"),
        (None, {"decoder__weight": ROWS, "encoder__weight": ENC}, "decoder"),
        (None, {"W_dec": ROWS, "W_enc": ENC}, "decoder"),
        (None, {"W_dec": ROWS, "W_enc": ENC.T[:, :3]}, "W_enc"),
        (None, {"my_decoder": ROWS}, "decoder"),
        (None, {"a__W_dec": ROWS, "b__W_dec": ROWS}, "decoder"),
        (None, {"W_dec": ROWS[None]}, "decoder"),
        (None, {"W_dec": ROWS[0]}, "--decoder"),
        (None, {"W_dec": ROWS[:0]}, "decoder"),
        (None, {"b_dec": np.zeros(D)}, "--decoder"),
        ({"d_sae": "7"}, {"W_dec": ROWS}, "d_sae"),
        ({"d_sae": 7.5}, {"W_dec": ROWS}, "d_sae"),
        ({"d_sae": float("nan")}, {"W_dec": ROWS}, "d_sae"),
        ({"d_sae": -7}, {"W_dec": ROWS}, "d_sae"),
        ({"d_sae": 10**400}, {"W_dec": ROWS}, "d_sae"),
        ({"d_sae": [7]}, {"W_dec": ROWS}, "d_sae"),
        ([1], {"W_dec": ROWS}, "config.json"),
        (3, {"W_dec": ROWS}, "config.json"),
    ],
)
def test_contradictions_are_refused(tmp_path, config, tensors, field):
    with pytest.raises(ConfigError) as error:
        read(put(tmp_path / "sae", config, **tensors))
    assert error.value.field.endswith(field)
    assert "\n" not in str(error.value)


def test_what_is_asked_for_must_fit(tmp_path):
    folder = put(tmp_path / "sae", W_dec=ROWS, b_dec=np.zeros(D), atoms=ROWS.T)
    for options in ({"transpose": True}, {"decoder": "atoms"}):
        with pytest.raises(ConfigError):
            read(folder, **options)
    is_read(folder, decoder="atoms", transpose=True, encoder=False)
    with pytest.raises(ConfigError) as error:
        read(folder, "W_decc")
    assert "did you mean W_dec?" in error.value.allowed


def test_the_sizes_of_a_config_in_the_file_count(tmp_path):
    tensor = torch.tensor(ROWS)
    save_file({"decoder.weight": tensor}, tmp_path / "a.safetensors", {"d_sae": "7"})
    is_read(tmp_path / "a.safetensors", encoder=False)
    save_file({"decoder.weight": tensor}, tmp_path / "b.safetensors", {"cfg": '{"d_in": 5}'})
    is_read(tmp_path / "b.safetensors", encoder=False)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_configs_in_any_unicode(tmp_path, encoding):
    folder = put(tmp_path / "sae", decoder__weight=ROWS)
    (folder / "cfg.json").write_text('{"d_in": 5}', encoding=encoding)
    is_read(folder, encoder=False)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"null", b"[" * 100_000])
def test_configs_that_are_none(tmp_path, text):
    folder = put(tmp_path / "sae", W_dec=ROWS)
    (folder / "cfg.json").write_bytes(text)
    with pytest.raises(ConfigError) as error:
        read(folder)
    assert error.value.field.endswith("cfg.json")
