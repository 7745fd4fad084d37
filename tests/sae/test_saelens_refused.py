"""What a folder of SAELens can ask for and we do not do: refused in a line, and never unpickled."""

import pickle

import numpy as np
import pytest
import torch
from saelens_format import D, M, ours, put, random_stack, weights

from synthsae.checks import ConfigError
from synthsae.sae.saelens import load_saelens, save_saelens

TENSORS = ["W_dec", "W_enc", "b_dec", "b_enc"]


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"architecture": "temporal"}, "architecture", "temporal"),
        ({"architecture": ["standard"]}, "architecture", ["standard"]),
        ({"architecture": "skip_transcoder"}, "architecture", "skip_transcoder"),
        ({"d_out": 3}, "d_out", 3),
        ({"normalize_activations": "layer_norm"}, "normalize_activations", "layer_norm"),
        ({"normalize_activations": True}, "normalize_activations", True),
        ({"reshape_activations": "hook_z"}, "reshape_activations", "hook_z"),
        ({"activation_fn_str": "tanh-relu"}, "activation_fn", "tanh-relu"),
        ({"apply_b_dec_to_input": 0.5}, "apply_b_dec_to_input", 0.5),
        ({"rescale_acts_by_decoder_norm": "no"}, "rescale_acts_by_decoder_norm", "no"),
        ({"k": 0}, "k", 0),
        ({"k": M + 1}, "k", M + 1),
        ({"k": None}, "k", None),
        ({"k": 2.5}, "k", 2.5),
        ({"d_in": "6"}, "d_in", "6"),
        ({"d_sae": None}, "d_sae", None),
        ({"d_sae": M + 1}, "W_dec", (M, D)),
        ({"architecture": "jumprelu"}, "tensors", TENSORS),
    ],
)
def test_a_config_that_asks_for_more_is_refused_in_a_line(tmp_path, changes, field, value):
    with pytest.raises(ConfigError) as error:
        load_saelens(put(tmp_path / "sae", "topk", **changes))
    assert (error.value.field.rpartition(": ")[2], error.value.value) == (field, value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scheme", ["constant_norm_rescale", "expected_average_only_in"])
def test_activations_that_were_normalised_are_refused_with_what_to_do(tmp_path, scheme):
    """The second scale is one number, which can be folded into the weights; the first cannot."""
    with pytest.raises(ConfigError) as error:
        load_saelens(put(tmp_path / "sae", "topk", normalize_activations=scheme))
    assert error.value.value == scheme
    assert ("fold it" in error.value.allowed) == (scheme == "expected_average_only_in")


@pytest.mark.parametrize(
    ("name", "tensor", "field", "value"),
    [
        ("W_enc", np.ones((M, D)), "W_enc", (M, D)),
        ("W_dec", np.ones((D, M)), "W_dec", (D, M)),
        ("b_enc", np.ones(D), "b_enc", (D,)),
        ("b_enc", np.ones(M, np.int8), "b_enc", torch.int8),
        ("W_dec", np.full((M, D), np.nan), "W_dec", f"{M * D} NaN or infinite"),
        ("b_enc", np.full(M, np.inf), "b_enc", f"{M} NaN or infinite"),
        ("W_enc", np.full((D, M), 1e200), "W_enc", f"{M * D} NaN or infinite"),  # in float32
        ("b_enc", None, "tensors", TENSORS[:3]),
        ("log_threshold", np.ones(M), "tensors", [*TENSORS, "log_threshold"]),
        ("scaling_factor", np.full(M, 1.5), "scaling_factor", "not 1"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_a_line(tmp_path, name, tensor, field, value):
    tensors = weights("topk") | {name: tensor}
    tensors = {n: t for n, t in tensors.items() if t is not None}
    with pytest.raises(ConfigError) as error:
        load_saelens(put(tmp_path / "sae", "topk", tensors))
    assert (error.value.field.rpartition(": ")[2], error.value.value) == (field, value)
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
