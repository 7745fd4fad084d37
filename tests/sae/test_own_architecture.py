"""An architecture of a user's own, from a loss alone."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from synthsae.checks import ConfigError
from synthsae.sae import ARCHITECTURES, Code, SAEConfig, SAEStack, Step
from synthsae.sae.base import Architecture
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

WORLD = World.plant(WorldConfig(d_model=16, n_isolated=8, n_blocks=1, rank=2), seed=0)
PENALTY = 0.02


class Lasso(Architecture):
    """Every positive pre-activation fires, at a price."""

    label = "Lasso"

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        pre = (x - params["b_dec"][:, None]) @ params["w_enc"].mT + params["b_enc"][:, None]
        return Code(pre.relu(), None)

    def loss(self, params: dict[str, Tensor], x: Tensor) -> Tensor:
        z = self.encode(params, x).values
        miss = z @ params["w_dec"] + params["b_dec"][:, None] - x
        return (miss**2).sum((1, 2)) / len(x[0]) + PENALTY * z.sum((1, 2)) / len(x[0])


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    ARCHITECTURES["lasso"] = Lasso
    yield
    del ARCHITECTURES["lasso"]


def learn(seeds: list[int], n_steps: int = 60) -> SAEStack:
    how = TrainConfig(n_steps=n_steps, batch_size=64, lr=0.01, device="cpu")
    return train(WORLD, SAEConfig(arch="lasso", n_latents=24, k=3), how, seeds=seeds).stack


def test_its_loss_falls() -> None:
    x = WORLD.batch(0, 500, seed=9, stream="eval").expand(2, -1, -1)
    before, after = (s.architecture.loss(s.params, x) for s in (learn([0, 1], 0), learn([0, 1])))
    assert (after < 0.7 * before).all()


def test_a_seed_alone_is_the_seed_in_a_stack() -> None:
    alone, stack = learn([4]), learn([2, 4, 7])
    for name, value in alone.params.items():
        torch.testing.assert_close(value[0], stack.params[name][1], rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    stack = learn([0, 1], 5)
    params = {name: p.double() for name, p in stack.params.items()}
    x = WORLD.batch(0, 30, seed=1).double().expand(2, -1, -1)
    still = Step(torch.zeros(2, 24, dtype=torch.bool), 0.0)
    grads = stack.architecture.gradients(params, x, still).grads
    assert grads.keys() == params.keys()
    for name, g in grads.items():
        way = torch.randn(g.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ends = [
            stack.architecture.loss(params | {name: params[name] + sign * 1e-6 * way}, x)
            for sign in (1, -1)
        ]
        want = (ends[0] - ends[1]) / 2e-6
        torch.testing.assert_close((g * way).flatten(1).sum(1), want, rtol=1e-4, atol=1e-6)


def test_a_class_without_loss_or_gradients_is_refused() -> None:
    ARCHITECTURES["lasso"] = type("Empty", (Architecture,), {"encode": Lasso.encode})
    with pytest.raises(ConfigError) as error:
        SAEConfig(arch="lasso", n_latents=8)
    assert (error.value.field, error.value.value) == ("sae.arch", "lasso")


@pytest.mark.parametrize("arch", [name for name in ARCHITECTURES if name != "lasso"])
def test_each_of_ours_says_what_it_is(arch: str) -> None:
    kind = ARCHITECTURES[arch]
    assert kind.label
    params = kind(SAEConfig(arch=arch, n_latents=16, k=2)).init(8, 0)
    assert kind.encoder_rows == (len(params["w_enc"]) == 16)
