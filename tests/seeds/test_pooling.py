"""synthsae.pool: what is kept, what does not change, and encoders refitted under it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import synthsae
from synthsae import SAEConfig, SAEStack, TrainConfig, World, WorldConfig
from synthsae.checks import ConfigError
from synthsae.evaluation import evaluate
from synthsae.metrics.pooling import distinct
from synthsae.train import refit, train

WORLD = World.plant(WorldConfig(d_model=12, n_isolated=6, n_blocks=1, rank=3, noise=0.1), seed=0)
X = WORLD.batch(0, 200, seed=9)


def made(seeds: int = 3, m: int = 10, arch: str = "topk", k: int = 3) -> SAEStack:
    """SAEs with random parameters, every one with a b_dec of its own."""
    g = torch.Generator().manual_seed(seeds + 10 * m)
    stack = SAEStack.init(SAEConfig(arch, n_latents=m, k=k), 12, range(seeds))
    for name in ("w_enc", "b_enc", "b_dec"):
        stack.params[name] = torch.randn(stack.params[name].shape, generator=g)
    return stack


def dense(stack: SAEStack, k: int | None = None) -> torch.Tensor:
    stack = replace(stack, config=replace(stack.config, k=k or stack.config.k))
    return stack.encode(X).dense(stack.config.size)


def every(directions: np.ndarray, rates: np.ndarray) -> np.ndarray:
    return np.ones(len(rates), dtype=bool)


@pytest.mark.parametrize("arch", ["topk", "hierarchical_topk", "batchtopk"])
@pytest.mark.parametrize("copies", [1, 4])
def test_pooling_of_identical_seeds_changes_nothing(arch: str, copies: int) -> None:
    one = made(1, arch=arch)
    rates = np.random.default_rng(0).random((1, 10)) + 0.01
    pooled = synthsae.pool(one.select([0] * copies), np.repeat(rates, copies, axis=0))
    assert pooled.config == one.config
    order = np.argsort(pooled.directions()[0] @ np.arange(12))
    mine = np.argsort(one.directions()[0] @ np.arange(12))
    for name in ("w_enc", "b_enc", "w_dec"):
        torch.testing.assert_close(pooled.params[name][0, order], one.params[name][0, mine])
    out = [s.decode(s.encode(X)) for s in (pooled, one)]
    torch.testing.assert_close(out[0], out[1], atol=1e-5, rtol=1e-5)


def test_kept_latents_have_the_pre_activations_of_their_own_seed() -> None:
    stack, rates = made(), np.ones((3, 10))
    pooled = synthsae.pool(stack, rates, rule=every)
    assert pooled.config.size == 30
    assert pooled.config.k == 3
    torch.testing.assert_close(pooled.params["b_dec"][0], stack.params["b_dec"].mean(0))
    own = dense(stack, 10)  # all positive pre-activations
    torch.testing.assert_close(dense(pooled, 30)[0], torch.cat(list(own), dim=1))


def test_pooling_of_disjoint_dictionaries_loses_nothing() -> None:
    """Seeds that learned orthogonal subspaces: every latent is there, and reconstructs its part."""
    stack = made(2, m=6, k=6)
    eye = torch.eye(12).view(2, 6, 12)
    stack.params |= {"w_dec": eye, "w_enc": eye.clone()}
    stack.params |= {n: torch.zeros_like(stack.params[n]) for n in ("b_enc", "b_dec")}
    pooled = synthsae.pool(stack, np.full((2, 6), 0.5))
    assert {tuple(r) for r in pooled.params["w_dec"][0].tolist()} == {tuple(r) for r in np.eye(12)}
    wide = replace(pooled, config=replace(pooled.config, k=12))
    apart = stack.decode(stack.encode(X)).sum(0)
    torch.testing.assert_close(wide.decode(wide.encode(X))[0], apart)


@given(st.integers(0, 99))
def test_the_order_of_seeds_and_latents_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stack, rates = made(4), rng.integers(0, 4, (4, 10)) / 4  # ties, and dead latents
    s, m = rng.permutation(4), rng.permutation(10)
    turned = stack.select(s.tolist())
    for name in ("w_enc", "b_enc", "w_dec"):
        turned.params[name] = turned.params[name][:, m]
    rule = lambda d, r: distinct(d, r, 0.4)  # noqa: E731
    a = synthsae.pool(stack, rates, rule=rule)
    b = synthsae.pool(turned, rates[s][:, m], rule=rule)
    assert a.config == b.config
    assert a.config.size < (rates > 0).sum()
    key = [np.lexsort(p.params["w_dec"][0].numpy().T) for p in (a, b)]
    for name in ("w_enc", "b_enc", "w_dec"):
        torch.testing.assert_close(a.params[name][0, key[0]], b.params[name][0, key[1]])
    torch.testing.assert_close(a.params["b_dec"], b.params["b_dec"])


def test_dead_latents_are_left_out_and_the_rule_is_an_argument() -> None:
    stack, rates = made(), np.full((3, 10), 0.5)
    rates[1] = 0.9e-4
    pooled = synthsae.pool(stack, rates, rule=every)
    assert torch.equal(pooled.params["w_dec"][0], stack.params["w_dec"][[0, 2]].flatten(0, 1))
    some = synthsae.pool(stack, rates, rule=lambda d, r: np.arange(20) % 2 == 0)
    assert torch.equal(some.params["w_dec"], pooled.params["w_dec"][:, ::2])


def test_what_cannot_be_pooled() -> None:
    with pytest.raises(ConfigError) as caught:
        synthsae.pool(made(arch="relu"), np.ones((3, 10)))
    assert (caught.value.field, caught.value.value) == ("stack.config.arch", "relu")
    assert {"topk", "batchtopk"} <= set(caught.value.allowed.split(", "))
    assert "relu" not in caught.value.allowed.split(", ")
    with pytest.raises(ConfigError) as caught:
        synthsae.pool(made(), np.ones((3, 9)))
    assert caught.value.field == "rates"
    assert str(caught.value.value) == "shape (3, 9)"
    for rates in (np.full((3, 10), np.nan), np.full((3, 10), 2.0), np.full((3, 10), 0.5 + 1j)):
        with pytest.raises(ConfigError) as caught:
            synthsae.pool(made(), rates)
        assert caught.value.field == "rates"
    for rule in (lambda d, r: np.arange(3), lambda d, r: np.ones(29, bool), lambda d, r: True):
        with pytest.raises(ConfigError) as caught:
            synthsae.pool(made(), np.ones((3, 10)), rule=rule)
        assert caught.value.field.startswith("rule")
    with pytest.raises(ConfigError) as caught:
        synthsae.pool(made(), np.ones((3, 10)), rule=lambda d, r: np.arange(30) == 0)
    assert (caught.value.field, caught.value.value) == ("sae.k", 3)


def test_batchtopk_s_threshold_is_the_mean() -> None:
    stack = made(arch="batchtopk")
    stack.params["threshold"] = torch.tensor([1.0, 2.0, 6.0])
    assert synthsae.pool(stack, np.ones((3, 10))).params["threshold"].tolist() == [3.0]


CONFIG = TrainConfig(n_steps=200, batch_size=128, lr=0.01)


@pytest.mark.slow
def test_refit_finds_encoders_and_leaves_the_decoder() -> None:
    """From a trained decoder it gets about back to the EV that was trained with it."""
    trained = train(WORLD, SAEConfig(n_latents=24, k=3), CONFIG, seeds=(0, 1)).stack
    lost = replace(trained, params=trained.params | {"w_enc": -trained.params["w_enc"]})
    before = {name: p.clone() for name, p in lost.params.items()}
    found = refit(lost, WORLD, CONFIG)
    assert torch.equal(found.params["w_dec"], trained.params["w_dec"])
    ev = [evaluate(s, WORLD, 4000).explained_variance for s in (trained, lost, found)]
    assert (ev[1] < 0).all()
    assert (ev[2] > ev[0] - 0.03).all()
    start = refit(lost, WORLD, replace(CONFIG, n_steps=0)).params
    assert torch.equal(start["w_enc"], trained.params["w_dec"])
    assert not start["b_enc"].any()
    assert all(
        torch.equal(p, before[name]) for name, p in lost.params.items()
    )  # what came in stays
    alone = refit(lost.select([1]), WORLD, CONFIG)  # a seed does not notice the other
    torch.testing.assert_close(alone.params["w_enc"], found.params["w_enc"][1:], atol=1e-4, rtol=0)


def test_refit_is_gradient_descent_on_what_is_free() -> None:
    """One step of Adam from the tied start moves every free parameter by lr against its slope."""
    stack, config = made(1), replace(CONFIG, n_steps=1, warmup=0.0, decay=0.0, clip=1e9)
    found = refit(stack, WORLD, config)
    x = WORLD.batch(0, 128, seed=0)
    p = {"w_enc": stack.params["w_dec"][0].clone(), "b_enc": torch.zeros(10), "b_dec": x.mean(0)}
    for t in p.values():
        t.requires_grad_()
    pre = (x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"]
    top = pre.topk(3, dim=1)
    z = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
    miss = x - z @ stack.params["w_dec"][0] - p["b_dec"]
    ((miss**2).sum() / ((x - x.mean(0)) ** 2).sum()).backward()
    # Adam's first step hides the length of a gradient unless it is near epsilon: clip to there
    clipped = refit(stack, WORLD, replace(config, clip=1e-8))
    length = torch.stack([t.grad.norm() for t in p.values() if t.grad is not None]).norm()
    for name, t in p.items():
        assert t.grad is not None
        g = t.grad * 1e-8 / length
        step = clipped.params[name][0] - t.detach()
        torch.testing.assert_close(step, -0.01 * g / (g.abs() + 1e-8), atol=2e-5, rtol=0)
        strong = t.grad.abs() > 1e-4
        step = (found.params[name][0] - t.detach())[strong]
        torch.testing.assert_close(step, -0.01 * t.grad[strong].sign(), atol=1e-4, rtol=0)


def test_refit_says_what_is_not_finite() -> None:
    stack = made(1)
    stack.params["w_dec"][0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"\{0: 0\}"):
        refit(stack, WORLD, CONFIG)


def test_refit_needs_an_encoder_row_for_each_latent() -> None:
    """Two factors of each kind have as many rows as pairs, which are not those of the latents."""
    stack = SAEStack.init(
        SAEConfig(arch="kron", n_latents=8, k=2, options={"m": 2, "n": 2}), 12, (0,)
    )
    assert stack.params["w_enc"].shape == stack.params["w_dec"].shape
    with pytest.raises(ConfigError) as caught:
        refit(stack, WORLD, CONFIG)
    assert (caught.value.field, caught.value.value) == ("stack.config.arch", "kron")
