"""JumpReLU: gradients, the published pseudo-derivatives, and an L0 with an aim."""

import math
from dataclasses import replace

import pytest
import torch
import variants
from variants import NOBODY, B, K, M, S, architecture, data, random_params

from synthsae.sae import SAEConfig, Step
from synthsae.sae.controller import CONSTANT, MAX_ERROR
from synthsae.sae.jumprelu import BANDWIDTH, RESET
from synthsae.train import train


class Jump(torch.autograd.Function):
    """pre 1[pre > theta] and its straight-through derivatives, as the paper defines them."""

    @staticmethod
    def forward(ctx, pre, theta, width):
        ctx.save_for_backward(pre, theta, width)
        return pre * (pre > theta)

    @staticmethod
    def backward(ctx, g):
        pre, theta, width = ctx.saved_tensors
        u = (pre - theta) / width
        kernel = ((u > -0.5) & (u < 0.5)).to(g)
        return g * (pre > theta), (-(theta / width) * kernel * g).sum(0), None


class Heaviside(torch.autograd.Function):
    """1[pre > theta], in the same way: no gradient to pre."""

    @staticmethod
    def forward(ctx, pre, theta, width):
        ctx.save_for_backward(pre, theta, width)
        return (pre > theta).to(pre)

    @staticmethod
    def backward(ctx, g):
        pre, theta, width = ctx.saved_tensors
        u = (pre - theta) / width
        return None, (-(1 / width) * ((u > -0.5) & (u < 0.5)) * g).sum(0), None


def loss(coefficient):
    def of(p, x):
        theta = p["log_threshold"].exp()
        width = BANDWIDTH * (x - x.mean(0)).norm(dim=1).mean()
        pre = (x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"]
        miss = x - Jump.apply(pre, theta, width) @ p["w_dec"] - p["b_dec"]
        ratio = Heaviside.apply(pre, theta, width).sum(1).mean() / K
        penalty = coefficient * ratio if coefficient else (ratio - 1) ** 2
        penalty = penalty + 2 * p["multiplier"] * (ratio - 1)
        return miss.square().sum() / variants.scatter(x) + penalty

    return of


@pytest.mark.parametrize("coefficient", [None, 0.2])
def test_gradients_equal_autograd_through_the_straight_through_functions(coefficient):
    sae = architecture("jumprelu", options={"coefficient": coefficient})
    params, x = random_params(sae), data(b=60)
    if coefficient is None:
        params["multiplier"] = torch.tensor([0.0, 0.1, 0.7]).double()
    got = sae.gradients(params, x, Step(NOBODY, 0.0))
    variants.assert_gradients(got, variants.autograd(loss(coefficient), sae, params, x))
    pre = (x - params["b_dec"][:, None]) @ params["w_enc"].mT + params["b_enc"][:, None]
    z = pre * (pre > params["log_threshold"].exp()[:, None])
    assert torch.equal(got.fired, (z > 0).any(1))
    torch.testing.assert_close(sae.encode(params, x).values, z)


@pytest.mark.parametrize(("offset", "inside"), [(-0.6, 0), (-0.4, 1), (0.4, 1), (0.6, 0)])
def test_the_kernel_is_a_rectangle_around_the_threshold(offset, inside):
    """One latent, two samples +-a: the pseudo-derivative of coefficient * L0 alone, by hand.

    The decoder row is 0, so that the reconstruction says nothing; mean ||x - mean x|| = a.
    """
    sae = architecture("jumprelu", n_latents=1, k=1, options={"coefficient": 0.5})
    a, theta = 2.0, 0.7
    x = torch.tensor([[[a, 0.0], [-a, 0.0]]]).double()
    width = BANDWIDTH * a
    params = {
        "w_enc": torch.tensor([[[1.0, 0.0]]]).double(),
        "b_enc": torch.tensor([[theta + offset * width - a]]).double(),
        "w_dec": torch.zeros(1, 1, 2).double(),
        "b_dec": torch.zeros(1, 2).double(),
        "log_threshold": torch.tensor([[math.log(theta)]]).double(),
        "multiplier": torch.zeros(1).double(),
    }
    got = sae.gradients(params, x, Step(torch.zeros(1, 1, dtype=torch.bool), 0.0))
    want = -inside * 0.5 / 2 * theta / width
    assert got.grads["log_threshold"].item() == pytest.approx(want)
    assert got.fired.item() == (offset > 0)
    assert got.loss.item() == pytest.approx(1 + 0.25 * (offset > 0))


def test_one_seed_cannot_notice_another():
    dead = NOBODY.clone()
    dead[0, :4] = dead[1, :10] = dead[2, 3] = True
    variants.assert_apart(architecture("jumprelu"), dead)
    variants.assert_untouched(architecture("jumprelu"), dead)


def test_auxk_moves_dead_rows_alone_and_no_threshold():
    sae = architecture("jumprelu")
    variants.assert_auxk_moves_dead_rows_alone(sae, random_params(sae))


def test_thresholds_start_where_the_first_batch_has_the_l0_asked():
    sae = architecture("jumprelu")
    params, x = random_params(sae), data()
    start = sae.start(params, x)
    assert {n: p.shape for n, p in start.items()} == {"log_threshold": (S, M)}
    lower = {n: p - 1e-9 for n, p in start.items()}
    fired = [(sae.encode(params | p, x).values > 0).sum((1, 2)).tolist() for p in (start, lower)]
    assert set(fired[0]) <= {K * B - 1, K * B}  # the last one lies on the threshold
    assert fired[1] == [K * B] * S
    everything = architecture("jumprelu", k=M)
    theta = everything.start(params, x)["log_threshold"].exp()
    assert (theta > 0).all()
    torch.testing.assert_close(
        theta, 1e-3 * (x - x.mean(1, keepdim=True)).norm(dim=2).mean(1)[:, None].expand(S, M)
    )


def test_the_multiplier_adds_up_what_is_above_the_aim_and_is_never_negative():
    sae, x = architecture("jumprelu"), data()
    params = random_params(sae)
    params["b_enc"] = params["b_enc"] + torch.tensor([-6.0, 0.0, 5.0])[:, None]
    excess = (sae.encode(params, x).values > 0).sum((1, 2)) / (K * B) - 1
    assert excess[0] < 0 < excess[1] < MAX_ERROR == 1 < excess[2]
    for start, share in ((0.0, 1e-3), (0.5, 1e-2)):
        params["multiplier"] = torch.full((S,), start).double()
        got = sae.gradients(params, x, Step(NOBODY, 0.0, 0.79, step_fraction=share)).buffers
        want = [max(0.0, start + min(1, e) * share / RESET) for e in excess.tolist()]
        assert got["multiplier"].tolist() == pytest.approx(want)
        assert not sae.gradients(
            params, x, Step(NOBODY, 0.0, 1 - CONSTANT, step_fraction=share)
        ).buffers
    fixed = architecture("jumprelu", options={"coefficient": 0.2})
    assert not fixed.gradients(params, x, Step(NOBODY, 0.0)).buffers


def test_l0_comes_to_rest_at_an_aim_far_below_what_the_data_would_like():
    """At k = 1, where 2.4 features fire: without its multiplier the L0 rests at 1.1."""
    config = replace(variants.CONFIG, lr=0.02)
    stack = train(
        variants.WORLD, SAEConfig(arch="jumprelu", n_latents=32, k=1), config, seeds=[0, 1, 2]
    )
    assert (variants.l0(stack.stack) - 1).abs().max() < 0.05
    assert (stack.stack.params["multiplier"] > 0.05).all()


def test_a_fixed_coefficient_goes_where_it_likes():
    few, many = (
        variants.l0(variants.trained("jumprelu", options={"coefficient": c})) for c in (1.0, 0.01)
    )
    assert (few < 0.8 * many).all()
