"""What a folder of SAELens can ask for and we do not do: refused in a line, and never unpickled."""

import pickle

import numpy as np
import pytest
import torch
from saelens_format import D, M, ours, put, random_stack, weights

from synthsae.checks import ConfigError
from synthsae.sae.saelens import load_saelens, save_saelens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "temporal"}, "architecture: 'temporal'; allowed: standard, topk,"),
        ({"architecture": ["standard"]}, "architecture: ['standard']; allowed: standard, topk,"),
        ({"architecture": "skip_transcoder"}, "architecture: 'skip_transcoder'; allowed: "),
        ({"d_out": 3}, "d_out: 3; allowed: d_in: this is a transcoder"),
        ({"normalize_activations": "layer_norm"}, "allowed: none: it depends on each sample"),
        ({"normalize_activations": "constant_norm_rescale"}, "none: it depends on each sample"),
        ({"normalize_activations": "expected_average_only_in"}, "the scale is not in the folder"),
        ({"normalize_activations": True}, "the scale is not in the folder"),
        ({"reshape_activations": "hook_z"}, "reshape_activations: 'hook_z'; allowed: none"),
        ({"activation_fn_str": "tanh-relu"}, "activation_fn: 'tanh-relu'; allowed: relu, topk"),
        ({"apply_b_dec_to_input": 0.5}, "apply_b_dec_to_input: 0.5; allowed: true, false"),
        ({"rescale_acts_by_decoder_norm": "no"}, "decoder_norm: 'no'; allowed: true, false"),
        ({"k": 0}, "k: 0; allowed: 1 to 12"),
        ({"k": M + 1}, "k: 13; allowed: 1 to 12"),
        ({"k": None}, "k: None; allowed: 1 to 12"),
        ({"k": 2.5}, "k: 2.5; allowed: 1 to 12"),
        ({"d_in": "6"}, "d_in: '6'; allowed: a number, 1 or more"),
        ({"d_sae": None}, "d_sae: None; allowed: a number, 1 or more"),
        ({"d_sae": M + 1}, "allowed: shape"),
        ({"architecture": "jumprelu"}, "allowed: jumprelu has W_enc, W_dec, b_dec, b_enc, thresh"),
    ],
)
def test_a_config_that_asks_for_more_is_refused_in_a_line(tmp_path, changes, message):
    with pytest.raises(ConfigError) as error:
        load_saelens(put(tmp_path / "sae", "topk", **changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("W_enc", np.ones((M, D)), "W_enc: (12, 6); allowed: shape (6, 12)"),
        ("W_dec", np.ones((D, M)), "W_dec: (6, 12); allowed: shape (12, 6)"),
        ("b_enc", np.ones(D), "b_enc: (6,); allowed: shape (12,)"),
        ("b_enc", np.ones(M, np.int8), "b_enc: torch.int8; allowed: floating-point numbers"),
        ("W_dec", np.full((M, D), np.nan), f"W_dec: '{M * D} NaN or infinite'"),
        ("b_enc", np.full(M, np.inf), f"b_enc: '{M} NaN or infinite'"),
        ("W_enc", np.full((D, M), 1e200), f"W_enc: '{M * D} NaN or infinite'"),  # in float32
        ("b_enc", None, "allowed: topk has W_enc, W_dec, b_dec, b_enc"),
        ("log_threshold", np.ones(M), "allowed: topk has W_enc, W_dec, b_dec, b_enc"),
        ("scaling_factor", np.full(M, 1.5), "scaling_factor: 'not 1'; allowed: 1"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_a_line(tmp_path, name, tensor, message):
    tensors = weights("topk") | {name: tensor}
    tensors = {n: t for n, t in tensors.items() if t is not None}
    with pytest.raises(ConfigError) as error:
        load_saelens(put(tmp_path / "sae", "topk", tensors))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_missing_and_damaged_files_are_refused_and_nothing_is_unpickled(tmp_path):
    def refused():
        with pytest.raises(ConfigError) as error:
            load_saelens(tmp_path / "sae")
        assert "\n" not in str(error.value)
        return str(error.value)

    assert refused().endswith("allowed: one that has cfg.json")
    folder = put(tmp_path / "sae", "topk")
    path = folder / "sae_weights.safetensors"
    whole = path.read_bytes()
    for data in (pickle.dumps(Bomb()), b"", whole[:-4], b"\x00" * 64):
        path.write_bytes(data)
        assert refused().endswith("allowed: a whole safetensors file")
    torch.save(Bomb(), folder / "sae_weights.pt")
    path.unlink()
    assert "one that has sae_weights.safetensors (no other file of weights" in refused()
    for text in ("", "{", "\xff"):
        (folder / "cfg.json").write_bytes(text.encode("latin-1"))
        assert refused().endswith("allowed: JSON")
    (folder / "cfg.json").write_text("[1]")
    assert refused().endswith("allowed: a JSON object")


def test_a_threshold_may_be_infinite_but_not_nan(tmp_path):
    tensors = weights("jumprelu")
    tensors["threshold"][:2] = np.inf, -np.inf
    codes, _ = ours(load_saelens(put(tmp_path / "sae", "jumprelu", tensors)))
    assert not codes[:, 0].any()
    assert codes[:, 1].any()
    tensors["threshold"][2:5] = np.nan
    with pytest.raises(ConfigError) as error:
        load_saelens(put(tmp_path / "sae", "jumprelu", tensors))
    assert error.value.field.endswith("threshold")
    assert error.value.value == "3 NaN"


def test_a_config_is_read_in_any_unicode_and_refused_where_it_is_none(tmp_path):
    folder = put(tmp_path / "sae", "topk")
    text = (folder / "cfg.json").read_text()
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        (folder / "cfg.json").write_text(text, encoding=encoding)
        assert load_saelens(folder).config.arch == "topk"
    (folder / "cfg.json").write_bytes(b"[" * 100_000)
    with pytest.raises(ConfigError, match=r"JSON$"):
        load_saelens(folder)


def test_bad_arguments_of_save_leave_nothing_behind(tmp_path):
    stack = random_stack("topk")
    for position in (-1, 2):
        with pytest.raises(ConfigError, match=rf"^position: {position}; allowed: 0 to 1$"):
            save_saelens(stack, tmp_path / "sae", position=position)
    with pytest.raises(ConfigError, match=r"^metadata: .* JSON"):
        save_saelens(stack, tmp_path / "sae", metadata={"x": {1, 2}})
    assert not (tmp_path / "sae").exists()
