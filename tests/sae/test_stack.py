"""Sparse kernels against dense sums, and a stack as a thing: made, selected, saved, loaded."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from synthsae.checks import ConfigError
from synthsae.sae import ARCHITECTURES, Code, SAEConfig, SAEStack, kernels
from synthsae.sae.saelens import load_saelens, save_saelens


@st.composite
def problems(draw):
    """A code [S, B, K] of M latents with some zeros, weights [S, M, D], data, the dense code."""
    s, b, m, d = (draw(st.integers(1, n)) for n in (3, 6, 9, 5))
    k = draw(st.integers(1, m))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))

    def normal(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64)

    indices = normal(s, b, m).argsort(dim=2)[:, :, :k].contiguous()
    code = Code(normal(s, b, k).relu(), indices)
    return code, normal(s, m, d), normal(s, b, d), scatter(code, m)


def scatter(code, m):
    out = torch.zeros(*code.values.shape[:2], m, dtype=code.values.dtype)
    return out.scatter_(2, code.indices, code.values)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@given(problems())
def test_kernels_equal_dense_sums(problem):
    code, weight, x, dense = problem
    order = kernels.by_latent(code, weight.shape[1])
    close(kernels.decode(code, weight), torch.einsum("sbm,smd->sbd", dense, weight))
    inner = torch.einsum("sbd,smd->sbm", x, weight)
    close(kernels.inner_products(x, weight, code), inner.gather(2, code.indices))
    close(kernels.transpose_decode(code.values, order, x), torch.einsum("sbm,sbd->smd", dense, x))
    close(kernels.latent_sum(code.values, order), dense.sum(1))
    close(kernels.latent_max(code.values, order), dense.amax(1))


@given(problems())
def test_a_dense_code_is_the_same_code(problem):
    code, weight, x, dense = problem
    full = Code(code.dense(weight.shape[1]), None)
    assert torch.equal(full.values, dense)
    order = kernels.by_latent(full, weight.shape[1])
    close(kernels.decode(full, weight), kernels.decode(code, weight))
    inner = kernels.inner_products(x, weight, full)
    close(inner.gather(2, code.indices), kernels.inner_products(x, weight, code))
    close(kernels.transpose_decode(full.values, order, x), torch.einsum("sbm,sbd->smd", dense, x))
    close(kernels.latent_sum(full.values, order), dense.sum(1))
    close(kernels.latent_max(full.values, order), dense.amax(1))


@given(problems())
def test_by_latent_sorts_by_latent_and_then_by_sample(problem):
    code, weight, _, _ = problem
    s, b, k = code.indices.shape
    m = weight.shape[1]
    start, sample, entry = kernels.by_latent(code, m)
    latent = (code.indices + m * torch.arange(s)[:, None, None]).ravel()
    assert entry.sort()[0].tolist() == list(range(s * b * k))
    assert torch.equal(sample, entry // k)
    assert torch.equal(
        start, torch.cat([torch.zeros(1), latent.bincount(minlength=s * m).cumsum(0)]).long()
    )
    keys = list(zip(latent[entry].tolist(), sample.tolist(), strict=True))
    assert keys == sorted(keys)


def test_order_within_a_latent_is_that_of_the_samples_in_a_long_batch():
    """An unstable sort keeps the order of a few entries only by luck."""
    g = torch.Generator().manual_seed(0)
    code = Code(torch.ones(1, 20_000, 1), torch.randint(3, (1, 20_000, 1), generator=g))
    order = kernels.by_latent(code, 3)
    for a, b in zip(order.start[:-1], order.start[1:], strict=True):
        assert (torch.diff(order.sample[a:b]) > 0).all()


def test_encode_is_relu_of_the_k_largest():
    stack = SAEStack.init(SAEConfig(n_latents=10, k=4), 5, (0, 1))
    g = torch.Generator().manual_seed(0)
    stack.params["b_dec"].normal_(generator=g)
    stack.params["b_enc"].normal_(generator=g)
    x = torch.randn(2, 30, 5, generator=g)
    code = stack.encode(x)
    p = stack.params
    pre = torch.einsum("sbd,smd->sbm", x - p["b_dec"][:, None], p["w_enc"]) + p["b_enc"][:, None]
    keep = pre >= pre.sort(dim=2)[0][:, :, -4:-3]
    torch.testing.assert_close(scatter(code, 10), (pre * keep).relu())
    assert (code.values == 0).any()
    want = torch.einsum("sbm,smd->sbd", (pre * keep).relu(), p["w_dec"]) + p["b_dec"][:, None]
    torch.testing.assert_close(stack.decode(code), want)


def test_a_batch_without_a_seed_axis_is_shown_to_every_sae():
    stack = SAEStack.init(SAEConfig(n_latents=10, k=4), 5, (0, 1))
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    a, b = stack.encode(x), stack.encode(torch.stack([x, x]))
    assert torch.equal(a.indices, b.indices)
    assert torch.equal(a.values, b.values)


def test_an_sae_starts_with_unit_rows_and_the_encoder_as_transpose():
    stack = SAEStack.init(SAEConfig(k=2), 6, (7, 3, 7))
    p = stack.params
    assert {n: tuple(v.shape) for n, v in p.items()} == {
        "w_enc": (3, 12, 6),
        "b_enc": (3, 12),
        "w_dec": (3, 12, 6),
        "b_dec": (3, 6),
    }
    assert all(v.dtype == torch.float32 for v in p.values())
    assert torch.equal(p["w_enc"], p["w_dec"])
    assert p["w_enc"].data_ptr() != p["w_dec"].data_ptr()
    torch.testing.assert_close(p["w_dec"].norm(dim=2), torch.ones(3, 12))
    assert not p["b_enc"].any()
    assert not p["b_dec"].any()
    alone = SAEStack.init(SAEConfig(k=2), 6, (7,)).params
    for name, v in p.items():
        assert torch.equal(v[0], alone[name][0])
        assert torch.equal(v[2], alone[name][0])
    assert (p["w_dec"][1] - p["w_dec"][0]).abs().max() > 0.1


def test_first_directions_are_uniform_on_the_sphere():
    d = SAEStack.init(SAEConfig(n_latents=20_000, k=1), 3, (0,)).directions()[0]
    error = 5 / len(d) ** 0.5
    np.testing.assert_allclose(d.mean(0), np.zeros(3), atol=error)
    np.testing.assert_allclose(d.T @ d / len(d), np.eye(3) / 3, atol=error)
    np.testing.assert_allclose((d**4).mean(0), np.full(3, 1 / 5), atol=error)


def test_directions_are_unit_decoder_rows_and_select_picks_seeds():
    stack = SAEStack.init(SAEConfig(n_latents=4, k=1), 3, (5, 6, 7))
    stack.params["w_dec"] *= 3
    assert stack.directions().shape == (3, 4, 3)
    w = stack.params["w_dec"].numpy()
    np.testing.assert_allclose(stack.directions(), w / 3, rtol=1e-6)
    part = stack.select([2, 0])
    assert (part.seeds, part.config) == ((7, 5), stack.config)
    for name, p in part.params.items():
        assert torch.equal(p, stack.params[name][[2, 0]])


def test_save_and_load_keep_every_bit(tmp_path):
    stack = SAEStack.init(SAEConfig(n_latents=9, k=3), 5, (4, 2**40))
    stack.params["b_dec"].normal_(generator=torch.Generator().manual_seed(1))
    stack.save(tmp_path / "stack.safetensors")
    again = SAEStack.load(tmp_path / "stack.safetensors")
    assert (again.config, again.seeds) == (stack.config, stack.seeds)
    assert again.params.keys() == stack.params.keys()
    assert all(torch.equal(p, again.params[name]) for name, p in stack.params.items())
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    a, b = stack.encode(x), again.encode(x)
    assert torch.equal(a.indices, b.indices)
    assert torch.equal(a.values, b.values)
    assert torch.equal(stack.decode(a), again.decode(b))


def test_a_part_of_a_stack_can_be_saved(tmp_path):
    stack = SAEStack.init(SAEConfig(n_latents=4, k=1), 3, (0, 1, 2))
    part = SAEStack(stack.config, (1,), {n: p[1:2] for n, p in stack.params.items()})
    part.save(tmp_path / "part.safetensors")
    again = SAEStack.load(tmp_path / "part.safetensors")
    assert torch.equal(again.params["w_enc"], stack.params["w_enc"][1:2])


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    "junk", [pickle.dumps(Bomb()), b"", b"\x00" * 64, b"not a file of tensors"]
)
def test_nothing_is_unpickled_and_junk_is_refused(tmp_path, junk):
    path = tmp_path / "stack.safetensors"
    path.write_bytes(junk)
    with pytest.raises(ConfigError) as error:
        SAEStack.load(path)
    assert (error.value.field, error.value.value) == ("path", str(path))
    torch.save(Bomb(), path)
    with pytest.raises(ConfigError) as error:
        SAEStack.load(path)
    assert (error.value.field, error.value.value) == ("path", str(path))


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {"config": "{}"},
        {"seeds": "[0]"},
        {"config": "{", "seeds": "[0]"},
        {"config": "3", "seeds": "[0]"},
        {"config": '{"new": 1}', "seeds": "[0]"},
        {"config": '{"arch": "mine"}', "seeds": "[0]"},
        {"config": "{}", "seeds": "0"},
        {"config": "{}", "seeds": "[0.5]"},
    ],
)
def test_tensors_of_others_are_refused_in_a_line(tmp_path, meta):
    path = tmp_path / "stack.safetensors"
    save_file({"w_dec": torch.zeros(1, 4, 2)}, path, meta)
    with pytest.raises(ConfigError) as error:
        SAEStack.load(path)
    assert f"path: {str(path)!r}; allowed: a file that SAEStack.save wrote (" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_header_that_lies_about_the_size_makes_nothing_of_that_size(tmp_path, monkeypatch):
    """Found by fuzzing: 187 million latents in the config, 4 in the tensors."""
    path, stack = (
        tmp_path / "stack.safetensors",
        SAEStack.init(SAEConfig(n_latents=4, k=2), 3, (0,)),
    )
    stack.save(path)
    with safe_open(path, framework="pt") as f:
        config = json.loads(f.metadata()["config"]) | {"n_latents": 186741232}
        save_file(stack.params, path, f.metadata() | {"config": json.dumps(config)})
    monkeypatch.setattr(torch, "randn", None)
    with pytest.raises(ConfigError, match="w_dec has 4 latents, where its config has 186741232"):
        SAEStack.load(path)


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path, stack = tmp_path / "stack.safetensors", SAEStack.init(SAEConfig(k=2), 4, (0,))
    stack.save(path)
    before = path.read_bytes()

    def full(handle):
        raise OSError("no room")

    monkeypatch.setattr(os, "fsync", full)
    stack.params["w_dec"] += 1
    with pytest.raises(ConfigError, match="no room"):
        stack.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_seeds_are_plain_integers(tmp_path):
    made = SAEStack.init(SAEConfig(k=2), 4, np.arange(3))
    put = SAEStack(made.config, list(np.arange(3)), made.params)
    for stack in (made, put, made.select([0, 1, 2])):
        assert stack.seeds == (0, 1, 2)
        assert {type(seed) for seed in stack.seeds} == {int}
        stack.save(tmp_path / "stack.safetensors")
        save_saelens(stack, tmp_path / "sae", position=1)
    assert load_saelens(tmp_path / "sae").seeds == (1,)
    with pytest.raises(TypeError):
        SAEStack(made.config, (0.5,), made.params)


def test_join_takes_stacks_of_one_config():
    a, b = (SAEStack.init(SAEConfig(n_latents=8, k=k), 4, (k, 9)) for k in (2, 3))
    both = SAEStack.join([a, a.select([1])])
    assert (both.config, both.seeds) == (a.config, (2, 9, 9))
    assert torch.equal(both.params["w_enc"][2], a.params["w_enc"][1])
    with pytest.raises(ConfigError) as error:
        SAEStack.join([a, b])
    assert (error.value.field, error.value.value) == ("config", b.config)
    assert str(a.config) in error.value.allowed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arch": "relu6"}, f"sae.arch: 'relu6'; allowed: {', '.join(ARCHITECTURES)}"),
        ({"n_latents": 0}, "sae.n_latents: 0; allowed: 1 or more"),
        ({"k": 0}, "sae.k: 0; allowed: 1 or more"),
        ({"k": 9, "n_latents": 8}, "sae.k: 9; allowed: 1 or more, at most 8"),
        (
            {"arch": "relu", "options": {"coefficient": 0}},
            "sae.options.coefficient: 0.0; allowed: above 0",
        ),
        ({"k": -1, "n_latents": 8}, "sae.k: -1; allowed: 1 or more, at most 8"),
    ],
)
def test_a_bad_field_is_one_line_with_its_name_value_and_range(fields, message):
    with pytest.raises(ConfigError) as error:
        SAEConfig(**fields)
    assert str(error.value).partition("; did you mean")[0] == message


def test_the_number_of_latents_is_two_for_each_dimension_unless_given():
    assert SAEConfig().for_width(24).size == 48
    assert SAEConfig(n_latents=5, k=5).for_width(24).size == 5
    with pytest.raises(ConfigError) as error:
        SAEConfig(k=9).for_width(4)
    assert (error.value.field, error.value.value) == ("sae.k", 9)
    with pytest.raises(ConfigError) as error:
        SAEConfig().size  # noqa: B018
    assert (error.value.field, error.value.value) == ("sae.n_latents", None)
