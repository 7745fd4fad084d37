"""A bfloat16 encoder against the float32 one: support, gradients, and what is learned."""

from dataclasses import replace

import pytest
import torch

from synthsae.evaluation import evaluate
from synthsae.sae import SAEConfig, SAEStack, Step
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

WORLD = World.plant(
    WorldConfig(d_model=64, n_isolated=48, isolated_p=0.08, n_blocks=3, rank=5, noise=0.02), seed=0
)
SAE = SAEConfig(n_latents=256, k=8)
CONFIG = TrainConfig(n_steps=600, batch_size=256, lr=3e-3, device="cpu", precision="float32")


def test_support_and_gradients_are_those_of_float32():
    """Supports agree on .98; where they do, gradients are equal to rounding."""
    stack = train(WORLD, SAE, replace(CONFIG, n_steps=100), seeds=[0, 1]).stack
    x = torch.stack([WORLD.batch(t, 2048, seed=5) for t in (0, 1)])
    nobody = torch.zeros(2, 256, dtype=torch.bool)
    sae = stack.architecture
    fired = [
        sae.encode(stack.params, x, bfloat16_selection=half).dense(256) > 0
        for half in (False, True)
    ]
    assert 0 < (fired[0] != fired[1]).sum() <= 2 * 0.02 * fired[0].sum()
    agree = (fired[0] == fired[1]).all(2).all(0)
    assert agree.float().mean() > 0.8
    exact, half = (
        sae.gradients(stack.params, x[:, agree], Step(nobody, 0.0, bfloat16_selection=h))
        for h in (False, True)
    )
    for name, g in exact.grads.items():
        off = half.grads[name] - g
        assert off.norm() < 1e-5 * g.norm(), name  # values are computed again in float32


@pytest.mark.slow
def test_training_reaches_the_same_explained_variance():
    runs = [
        train(WORLD, SAE, replace(CONFIG, precision=p), seeds=range(3)).stack
        for p in ("float32", "bfloat16")
    ]
    assert not torch.equal(runs[0].params["w_dec"], runs[1].params["w_dec"])
    a, b = (evaluate(stack, WORLD, 8192).explained_variance for stack in runs)
    assert a.min() > 0.8
    assert abs(a - b).max() < 0.002


def test_auto_is_float32_on_a_cpu():
    auto = replace(CONFIG, precision="auto", n_steps=3)
    one, other = (
        train(WORLD, SAE, c, seeds=[0]).stack for c in (auto, replace(auto, precision="float32"))
    )
    assert torch.equal(one.params["w_enc"], other.params["w_enc"])
    assert isinstance(one, SAEStack)
