"""Every architecture in the registry: it trains, is saved, encodes as trained and goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import synthsae.train.checkpoint as checkpoints
from synthsae.config import Config, override
from synthsae.evaluation import evaluate
from synthsae.metrics import latent
from synthsae.sae import ARCHITECTURES, Architecture, Code, Gradients, SAEConfig, SAEStack
from synthsae.train import TrainConfig, train
from synthsae.train.group import Group
from synthsae.world import World, WorldConfig

D, M = 8, 24
WORLD = World.plant(WorldConfig(d_model=D, n_isolated=6, isolated_p=0.3, n_blocks=0), seed=0)
CONFIG = TrainConfig(n_steps=5, batch_size=16, lr=0.01, dead_after=32, group_size=2, device="cpu")
each = pytest.mark.parametrize("arch", list(ARCHITECTURES))


class Source:
    """WORLD, whose batches stop at step `at` and are not finite for seed `bad` at step 3."""

    d_model = D

    def __init__(self, at=None, bad=None):
        self.at, self.bad = at, bad

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        if t == self.at:
            raise OSError("the power is gone")
        x = WORLD.batch(t, size, seed=seed, stream=stream, device=device)
        return x * torch.nan if (t, seed) == (3, self.bad) else x


def sae(arch):
    return SAEConfig(arch=arch, n_latents=M, k=2)


def assert_same(a, b, seeds=None):
    assert a.params.keys() == b.params.keys()
    for name, p in a.params.items():
        for s in range(len(p)) if seeds is None else seeds:
            assert torch.equal(p[s], b.params[name][s]), (name, s)


@each
def test_parameters_are_stacks_and_a_function_of_the_init_seed(arch):
    stack = SAEStack.init(sae(arch), D, (7, 3))
    assert stack.params["w_dec"].shape == (2, M, D)
    assert stack.params["b_dec"].shape == (2, D)
    assert all(len(p) == 2 and p.dtype == torch.float32 for p in stack.params.values())
    assert set(stack.architecture.buffers) <= set(stack.params)
    torch.testing.assert_close(stack.params["w_dec"].norm(dim=2), torch.ones(2, M))
    assert_same(SAEStack.init(sae(arch), D, (7,)), stack, [0])
    assert (stack.params["w_dec"][0] - stack.params["w_dec"][1]).abs().max() > 0.1


@each
def test_it_trains_is_saved_and_encodes_the_same(tmp_path, arch):
    got = train(WORLD, sae(arch), CONFIG, seeds=range(3))
    assert got.loss.isfinite().all()
    assert got.frozen == {}
    start = SAEStack.init(sae(arch), D, range(3))
    for name, p in got.stack.params.items():
        assert (p != start.params[name]).any(), name
    torch.testing.assert_close(got.stack.params["w_dec"].norm(dim=2), torch.ones(3, M))
    got.stack.save(tmp_path / "sae.safetensors")
    again = SAEStack.load(tmp_path / "sae.safetensors")
    assert again.config == got.stack.config
    assert_same(again, got.stack)
    x = WORLD.batch(0, 50, seed=5)
    a, b = got.stack.encode(x), again.encode(x)
    assert torch.equal(a.dense(M), b.dense(M))
    assert a.indices is None or torch.equal(a.indices, b.indices)
    assert (a.values >= 0).all()
    assert torch.equal(got.stack.decode(a), again.decode(b))
    part = got.stack.select([1])
    torch.testing.assert_close(part.encode(x).dense(M)[0], a.dense(M)[1])


@each
def test_a_sample_is_encoded_by_itself(arch):
    """What else is in the batch does not matter, as it would not in use."""
    stack = train(WORLD, sae(arch), CONFIG, seeds=range(2)).stack
    x = WORLD.batch(0, 50, seed=5)
    whole, few = stack.encode(x).dense(M), stack.encode(x[10:13]).dense(M)
    torch.testing.assert_close(few, whole[:, 10:13], rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("at", [1, 4])
def test_a_stopped_training_goes_on_to_the_same_bits(monkeypatch, tmp_path, arch, at):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    whole = train(Source(bad=1), sae(arch), CONFIG, seeds=range(3))
    with pytest.raises(OSError, match="power"):
        train(Source(at, bad=1), sae(arch), CONFIG, seeds=range(3), checkpoint=tmp_path)
    got = train(Source(bad=1), sae(arch), CONFIG, seeds=range(3), checkpoint=tmp_path)
    assert_same(got.stack, whole.stack)
    assert got.frozen == whole.frozen == {1: 3}
    assert torch.equal(got.samples_since_fired, whole.samples_since_fired)


@each
def test_a_frozen_sae_keeps_all_it_had(arch):
    """Also what no gradient moves."""
    group = Group(Source(bad=1), SAEStack.init(sae(arch), D, range(3)), CONFIG, range(3))
    for step in range(CONFIG.n_steps):
        if step == 3:
            before = {name: p.clone() for name, p in group.stack.params.items()}
        group.step()
    assert group.frozen == {1: 3}
    for name, p in group.stack.params.items():
        assert torch.equal(p[1], before[name][1]), name
    assert not torch.equal(group.stack.params["w_enc"][0], before["w_enc"][0])


@each
def test_a_seed_that_is_not_finite_is_frozen_and_the_others_do_not_notice(arch):
    for size in (1, 3):
        config = replace(CONFIG, group_size=size)
        clean, hurt = (train(Source(bad=b), sae(arch), config, seeds=range(3)) for b in (None, 1))
        assert hurt.frozen == {1: 3}
        assert_same(hurt.stack, clean.stack, [0, 2])
        assert all(p[1].isfinite().all() for p in hurt.stack.params.values())


@each
def test_a_seed_alone_is_that_seed_in_a_stack(arch):
    alone = replace(CONFIG, group_size=1)
    one = train(WORLD, sae(arch), alone, seeds=[7]).stack
    many = train(WORLD, sae(arch), alone, seeds=[3, 5, 7]).stack
    assert_same(one, many.select([2]))


@each
def test_the_name_alone_makes_it_run(arch):
    """As `--set sae.arch=NAME` does: all else follows."""
    config = override(Config(), {"sae.arch": arch})
    short = replace(config.train, n_steps=2, batch_size=64, device="cpu")
    world = World.plant(config.world, seed=0)
    stack = train(world, config.sae, short, seeds=[0, 1]).stack
    seen = evaluate(stack, world, 256)
    assert seen.rates.shape == (2, config.sae.for_width(world.d_model).size)
    assert (seen.rates > 0).any()


class Tied(Architecture):
    """A user's own: z = relu(W_dec (x - b_dec)), with gradients by autograd."""

    def init(self, d_model, seed):
        first = super().init(d_model, seed)
        return {name: first[name] for name in ("w_dec", "b_dec")}

    def encode(self, params, x, *, bfloat16_selection=False):
        x = x - params["b_dec"][:, None]
        return Code((x @ params["w_dec"].mT).relu(), None)

    def gradients(self, params, x, step):
        p = {name: v.clone().requires_grad_() for name, v in params.items()}
        z = self.encode(p, x).values
        miss = x - z @ p["w_dec"] - p["b_dec"][:, None]
        loss = miss.square().mean((1, 2))
        grads = torch.autograd.grad(loss.sum(), list(p.values()))
        return Gradients(loss.detach(), dict(zip(p, grads, strict=True)), (z > 0).any(1))


def test_an_architecture_of_ones_own_is_a_class_and_a_name(monkeypatch, tmp_path):
    monkeypatch.setitem(ARCHITECTURES, "tied", Tied)
    longer = replace(CONFIG, n_steps=60)
    first, last = (train(WORLD, sae("tied"), c, seeds=[0, 1]) for c in (CONFIG, longer))
    assert (last.loss < first.loss).all()
    last.stack.save(tmp_path / "sae.safetensors")
    assert_same(SAEStack.load(tmp_path / "sae.safetensors"), last.stack)


PLANTED = World.plant(WorldConfig(d_model=24, n_isolated=30, isolated_p=0.08, n_blocks=0), seed=0)


@pytest.mark.slow
@each
def test_a_planted_incoherent_dictionary_is_recovered_at_the_l0_asked(arch):
    """30 features in R^24, pairwise cosines of .51 at most, 2.4 of which fire on a sample."""
    gram = PLANTED.isolated @ PLANTED.isolated.T
    assert 0.3 < abs(gram - np.eye(30)).max() < 0.52
    config = TrainConfig(n_steps=500, batch_size=256, lr=0.02, group_size=3, device="cpu")
    stack = train(PLANTED, SAEConfig(arch=arch, n_latents=48, k=2), config, seeds=range(3)).stack
    seen = evaluate(stack, PLANTED, 16384)
    for d, live in zip(seen.directions, seen.live(), strict=True):
        assert latent.mcc(d[live], PLANTED.isolated) >= 0.97
    l0 = seen.rates.sum(1)
    if arch in ("relu", "jumprelu", "gated", "batchtopk"):
        assert abs(l0 / 2 - 1).max() <= 0.05
    else:
        assert (l0 <= 2).all()
