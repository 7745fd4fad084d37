"""Folders of SAELens read and written, held to its equations (`saelens_format.py`).

`benchmarks/saelens_check.py` exchanges SAEs with SAELens itself.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from saelens_format import MORE, D, K, M, assert_same, ours, put, random_stack, weights
from safetensors.numpy import load_file, save_file

import synthsae
from synthsae.checks import ConfigError
from synthsae.sae import ARCHITECTURES, SAEConfig, SAEStack
from synthsae.sae.saelens import load_saelens, save_saelens
from synthsae.sae.topk import TopK
from synthsae.train import TrainConfig, refit
from synthsae.world import World, WorldConfig

WRITTEN_AS = {name: a.saelens for name, a in ARCHITECTURES.items() if a.saelens}


@pytest.mark.parametrize("kind", MORE)
@pytest.mark.parametrize("centred", [True, False])
def test_a_published_sae_does_here_what_its_folder_says(tmp_path, kind, centred):
    folder = put(tmp_path / "sae", kind, apply_b_dec_to_input=centred)
    stack = load_saelens(folder)
    arch = {"standard": "relu"}.get(kind, kind)
    k = K if kind == "topk" else SAEConfig().k
    assert stack.config == SAEConfig(arch=arch, n_latents=M, k=k)
    assert stack.seeds == (0,)
    assert_same(stack, folder)
    np.testing.assert_array_equal(stack.params["w_dec"][0], weights(kind)["W_dec"])


@pytest.mark.parametrize("centred", [True, False])
def test_rescaling_by_the_decoder_norm_is_honoured(tmp_path, centred):
    changes = {"rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": centred}
    folder = put(tmp_path / "sae", "topk", **changes)
    stack = load_saelens(folder)
    assert_same(stack, folder)
    np.testing.assert_allclose(stack.params["w_dec"].norm(dim=2), 1, rtol=1e-6)
    plain, _ = ours(load_saelens(put(tmp_path / "plain", "topk", apply_b_dec_to_input=centred)))
    assert ((plain > 0) != (ours(stack)[0] > 0)).any()  # the norms do matter


def test_a_latent_without_decoder_is_dead_under_rescaling(tmp_path):
    tensors = weights("topk")
    tensors["W_dec"][2] = 0
    folder = put(tmp_path / "sae", "topk", tensors, rescale_acts_by_decoder_norm=True)
    z, out = ours(load_saelens(folder))
    assert not z[:, 2].any()
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("kind", "cfg"),
    [
        ("standard", {}),
        ("standard", {"activation_fn_str": "relu", "normalize_activations": None}),
        ("standard", {"architecture": "standard", "normalize_activations": False}),
        ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
        ("topk", {"architecture": "standard", "activation_fn": "topk", "k": 2}),
        ("gated", {"architecture": "gated", "hook_point": "blocks.0.hook_mlp_out"}),
        ("jumprelu", {"architecture": "jumprelu", "activation_fn_kwargs": {}}),
    ],
)
def test_configs_of_older_versions(tmp_path, kind, cfg):
    k = 2 if cfg.get("k") == 2 else MORE[kind].get("k")
    folder = put(tmp_path / "sae", kind, **({"k": k} if k else {}))
    want = ours(load_saelens(folder))
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": M} | cfg))
    for a, b in zip(ours(load_saelens(folder)), want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["hook_point", "hook_name"])
def test_older_versions_said_hook_z_by_the_hook_alone(tmp_path, name):
    folder = put(tmp_path / "sae", "standard")
    cfg = {"d_in": D, "d_sae": M, name: "blocks.0.attn.hook_z"}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(ConfigError) as error:
        load_saelens(folder)
    assert error.value.field.endswith("cfg.json: reshape_activations")
    assert (error.value.value, error.value.allowed) == ("hook_z", "none")


@pytest.mark.parametrize("arch", WRITTEN_AS)
def test_what_is_written_means_the_same_there_and_comes_back(tmp_path, arch):
    stack = random_stack(arch)
    save_saelens(stack, tmp_path / "sae", position=1, metadata={"model_name": "none"})
    assert_same(stack, tmp_path / "sae", seed=1)
    cfg = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert (cfg["architecture"], cfg["d_in"], cfg["d_sae"]) == (WRITTEN_AS[arch], D, M)
    assert cfg["metadata"]["model_name"] == "none"
    assert cfg["metadata"]["sae_lens_version"].startswith("6.")  # without it, read as an older one

    again = load_saelens(tmp_path / "sae")
    assert (again.config, again.seeds) == (stack.config, (2**40,))
    for name, p in again.params.items():
        if name == "log_threshold":  # in more bits, so that all float32 thresholds have one
            p = p.exp().float().log()
            torch.testing.assert_close(p, stack.params[name][1:], rtol=1e-6, atol=1e-6)
        else:
            assert torch.equal(p, stack.params[name][1:]), name
    for a, b in zip(ours(again), ours(stack.select([1])), strict=True):
        np.testing.assert_array_equal(a, b)

    save_saelens(again, tmp_path / "twice")
    one, two = (load_file(tmp_path / n / "sae_weights.safetensors") for n in ("sae", "twice"))
    assert all(np.array_equal(one[name], two[name]) for name in one | two)


@pytest.mark.parametrize("arch", WRITTEN_AS)
def test_what_is_read_can_be_joined_and_refitted(tmp_path, arch):
    """A folder has no state of training: that is the one of step 0."""
    stack, fresh = random_stack(arch, (4,)), SAEStack.init(random_stack(arch).config, D, (4,))
    save_saelens(stack, tmp_path)
    again, trained_by = load_saelens(tmp_path), set(stack.architecture.buffers) - {"threshold"}
    assert again.params.keys() == stack.params.keys()
    for name in trained_by:
        assert torch.equal(again.params[name], fresh.params[name]), name
    both = SAEStack.join([again, stack])
    assert both.params["w_enc"].shape == (2, M, D)
    world = World.plant(WorldConfig(d_model=D, n_isolated=3, n_blocks=0, rank=1), seed=0)
    done = refit(both, world, TrainConfig(n_steps=3, batch_size=32, device="cpu"))
    assert {p.dtype for p in done.params.values()} == {torch.float32}
    assert all(p.isfinite().all() for p in done.params.values())
    assert not torch.equal(done.params["w_enc"], both.params["w_dec"])


def test_every_architecture_is_written_or_refused_with_a_reason(tmp_path, monkeypatch):
    stack = SAEStack.init(SAEConfig(arch="kron", n_latents=M, k=2), D, (0,))
    with pytest.raises(ConfigError) as error:
        save_saelens(stack, tmp_path / "sae")
    assert (error.value.field, error.value.value) == ("sae.arch", "kron")
    assert not (tmp_path / "sae").exists()
    assert set(ARCHITECTURES) - {"kron"} <= WRITTEN_AS.keys()
    monkeypatch.setitem(ARCHITECTURES, "mine", type("Mine", (TopK,), {}))
    stack = SAEStack.init(SAEConfig(arch="mine", n_latents=M, k=2), D, (0,))
    with pytest.raises(ConfigError) as error:
        save_saelens(stack, tmp_path / "sae")
    assert (error.value.field, error.value.value) == ("sae.arch", "mine")
    assert error.value.allowed.startswith("topk, ")
    assert not (tmp_path / "sae").exists()


def test_thresholds_decide_exactly_as_float32_ones(tmp_path):
    tensors = weights("jumprelu")
    rng, tiny = np.random.default_rng(0), np.float32(1e-45)
    t = np.exp(rng.uniform(-80, 80, M)).astype(np.float32)
    t[:4] = 1, np.nextafter(np.float32(1), np.float32(0)), tiny, np.float32(3e38)
    tensors["threshold"] = t
    stack = load_saelens(put(tmp_path / "sae", "jumprelu", tensors))
    at = stack.params["log_threshold"][0].exp()
    assert not (torch.from_numpy(t) > at).any()
    assert (torch.from_numpy(np.nextafter(t, np.float32(np.inf))) > at).all()
    assert torch.equal(at.float(), torch.from_numpy(t))


def test_a_recorded_config_counts_only_while_it_is_true(tmp_path):
    save_saelens(random_stack("batchtopk", (3,)), tmp_path)
    path = tmp_path / "sae_weights.safetensors"
    tensors = load_file(path)
    tensors["threshold"] *= np.linspace(1, 2, M, dtype=np.float32)  # as folded norms leave it
    save_file(tensors, path)
    assert load_saelens(tmp_path).config.arch == "jumprelu"
    assert_same(load_saelens(tmp_path), tmp_path)

    stack = random_stack("matryoshka", (3,), options={"prefixes": 2})
    for name, value in (("k", K - 1), ("architecture", "standard")):
        save_saelens(stack, tmp_path)
        assert load_saelens(tmp_path).config == stack.config
        cfg = json.loads((tmp_path / "cfg.json").read_text())
        (tmp_path / "cfg.json").write_text(json.dumps(cfg | {name: value}))
        got = load_saelens(tmp_path).config
        want = {"k": SAEConfig("topk", M, K - 1), "architecture": SAEConfig("relu", M)}
        assert got == want[name]
    true = {"arch": "matryoshka", "n_latents": M, "k": K}
    put(tmp_path / "junk", "topk", metadata={"synthsae": {"config": true}})
    assert load_saelens(tmp_path / "junk").config == SAEConfig("matryoshka", M, K)
    configs = [3, {}, true | {"arch": []}, true | {"n_latents": 2 * M}, true | {"new": 1}]
    for junk in (3, *({"config": config} for config in configs), {"seed": "a"}):
        put(tmp_path / "junk", "topk", metadata={"synthsae": junk})
        assert load_saelens(tmp_path / "junk").config == SAEConfig("topk", M, K)
    for junk in ({"matryoshka_prefixes": 2.5}, {"options": {"prefixes": 0}}, {"options": {"m": 2}}):
        put(tmp_path / "junk", "topk", metadata={"synthsae": {"config": true | junk}})
        with pytest.raises(ConfigError) as error:
            load_saelens(tmp_path / "junk")
        assert error.value.field.endswith("metadata.synthsae.config")
        assert error.value.value == true | junk


def test_several_folders_are_a_stack_if_they_agree(tmp_path):
    stack = random_stack("gated")
    for i in (0, 1):
        save_saelens(stack, tmp_path / str(i), position=i)
    both = load_saelens(tmp_path / "1", tmp_path / "0")
    assert both.seeds == (2**40, 4)
    for name, p in both.params.items():
        assert torch.equal(p, stack.params[name].flip(0)), name
    assert load_saelens(tmp_path / "1", str(tmp_path / "1")).seeds == (0, 1)
    published = put(tmp_path / "p", "gated")
    assert load_saelens(published, published).seeds == (0, 1)
    save_saelens(replace(stack, config=replace(stack.config, k=K + 1)), tmp_path / "other")
    with pytest.raises(ConfigError) as error:
        load_saelens(tmp_path / "0", tmp_path / "other")
    assert error.value.field == str(tmp_path / "other")
    with pytest.raises(ConfigError) as error:
        load_saelens()
    assert (error.value.field, error.value.value) == ("folders", ())


def test_half_precision_and_an_idle_scaling_factor_are_read(tmp_path):
    tensors = {n: t.astype(np.float16) for n, t in weights("topk").items()}
    folder = put(tmp_path / "sae", "topk", tensors | {"scaling_factor": np.ones(M, np.float32)})
    params = load_saelens(folder).params
    assert {p.dtype for p in params.values()} == {torch.float32}
    np.testing.assert_array_equal(params["w_enc"][0], tensors["W_enc"].T)


def test_the_package_exports_both():
    assert synthsae.save_saelens is save_saelens
    assert synthsae.load_saelens is load_saelens
