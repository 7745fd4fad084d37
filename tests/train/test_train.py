"""One step against torch.optim.Adam, and that no seed of a stack can notice another."""

import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import dense
import pytest
import torch

import synthsae.sae.base as base
import synthsae.train as training
from synthsae.checks import ConfigError
from synthsae.sae import SAEConfig, SAEStack
from synthsae.sae.topk import TopK
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

D = 8
WORLD = World.plant(
    WorldConfig(d_model=D, n_isolated=6, isolated_p=0.3, n_blocks=0, rank=1, noise=0.1), seed=0
)
SAE = SAEConfig(n_latents=12, k=2)
STEADY = TrainConfig(
    n_steps=4, batch_size=16, lr=0.01, warmup=0, decay=0, dead_after=32, device="cpu"
)
STILL = replace(STEADY, lr=1e-30)  # too small to move a float32


class Source:
    """WORLD, with a record of what was asked and `change(x, t, seed)` applied to each batch."""

    d_model = D

    def __init__(self, change=lambda x, t, seed: x):
        self.asked, self.change = [], change

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        self.asked.append((t, size, seed, stream))
        return self.change(WORLD.batch(t, size, seed=seed, stream=stream, device=device), t, seed)


def same_bits(a, b, i=0, j=0):
    """SAE i of one result has the bits of SAE j of another."""
    return all(torch.equal(p[i], b.stack.params[name][j]) for name, p in a.stack.params.items())


def largest_difference(a, b):
    return max((p - b.stack.params[name]).abs().max() for name, p in a.stack.params.items())


def reference(config, seeds, sae=SAE):
    """The parameters after training, by autograd and one torch.optim.Adam a seed."""
    start = SAEStack.init(sae, D, tuple(seeds)).params
    out = []
    for i, seed in enumerate(seeds):
        p = {name: v[i].clone() for name, v in start.items()}
        p["b_dec"] = WORLD.batch(0, config.batch_size, seed=seed).mean(0)
        adam = torch.optim.Adam(p.values())
        silent = torch.zeros(sae.n_latents)
        for step in range(config.n_steps):
            x = WORLD.batch(step, config.batch_size, seed=seed)
            z = dense.topk((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"], sae.k)
            stack, dead = {name: v[None] for name, v in p.items()}, silent >= config.dead_after
            _, grads = dense.gradients(stack, x[None], sae.k, dead[None], config.aux_coefficient)
            g = {name: v[0] for name, v in grads.items()}
            radial = (g["w_dec"] * p["w_dec"]).sum(1, keepdim=True)
            g["w_dec"] = g["w_dec"] - radial * p["w_dec"]
            norm = torch.cat([v.ravel() for v in g.values()]).norm()
            for name, v in p.items():
                v.grad = g[name] * min(1, config.clip / norm)
            adam.param_groups[0]["lr"] = config.rate(step, sae.n_latents)
            adam.step()
            p["w_dec"] /= p["w_dec"].norm(dim=1, keepdim=True)
            silent = (silent + len(x)) * ~(z > 0).any(0)
        out.append(p)
    return {name: torch.stack([p[name] for p in out]) for name in out[0]}


@pytest.mark.parametrize("clip", [1e-7, 0.3, 100.0])
@pytest.mark.parametrize("n_steps", [1, 4])
def test_steps_equal_adam_on_the_projected_clipped_gradient(clip, n_steps):
    """At a clip of 1e-7, Adam's epsilon makes the length of the gradient show."""
    config = TrainConfig(
        n_steps=n_steps, batch_size=16, clip=clip, dead_after=16, warmup=0.5, decay=0.25
    )
    got = train(WORLD, SAE, config, seeds=[3, 4, 5]).stack.params
    for name, want in reference(config, [3, 4, 5]).items():
        torch.testing.assert_close(got[name], want, rtol=0, atol=1e-6 * n_steps)


def test_the_first_batch_gives_b_dec_and_the_init_seed_the_rest():
    got = train(WORLD, SAE, replace(STILL, n_steps=1), seeds=[3, 4], data_seeds=[8, 9])
    start = SAEStack.init(SAE, D, (3, 4)).params
    assert torch.equal(got.stack.params["w_enc"], start["w_enc"])
    torch.testing.assert_close(got.stack.params["b_enc"], start["b_enc"], rtol=0, atol=1e-20)
    torch.testing.assert_close(got.stack.params["w_dec"], start["w_dec"], rtol=0, atol=1e-7)
    mean = torch.stack([WORLD.batch(0, 16, seed=s).mean(0) for s in (8, 9)])
    torch.testing.assert_close(got.stack.params["b_dec"], mean, rtol=0, atol=1e-6)


def test_decoder_rows_stay_on_the_sphere():
    trained = train(WORLD, SAE, replace(STEADY, n_steps=20, lr=0.3), seeds=[0, 1, 2])
    norm = trained.stack.params["w_dec"].norm(dim=2)
    torch.testing.assert_close(norm, torch.ones(3, 12), rtol=0, atol=1e-6)
    assert trained.stack.seeds == (0, 1, 2)
    assert trained.stack.config == SAE


@pytest.mark.parametrize("size", [1, 2, None])
def test_the_same_seed_gives_the_same_bits_twice(size):
    config = replace(STEADY, group_size=size)
    a, b = (train(WORLD, SAE, config, seeds=[0, 1, 2, 3]) for _ in range(2))
    assert all(same_bits(a, b, i, i) for i in range(4))
    assert torch.equal(a.loss, b.loss)
    assert torch.equal(a.samples_since_fired, b.samples_since_fired)


def test_a_seed_alone_is_that_seed_in_a_stack():
    alone = replace(STEADY, group_size=1)
    one = train(WORLD, SAE, alone, seeds=[7])
    many = train(WORLD, SAE, alone, seeds=[3, 7, 5, 7])
    assert same_bits(one, many, 0, 1)
    assert same_bits(one, many, 0, 3)
    assert torch.equal(one.loss[0], many.loss[1])
    assert torch.equal(one.samples_since_fired[0], many.samples_since_fired[1])
    pairs = replace(STEADY, group_size=2)
    first = train(WORLD, SAE, pairs, seeds=[7, 3])
    second = train(WORLD, SAE, pairs, seeds=[1, 2, 5, 7])
    assert same_bits(first, second, 0, 3)


@pytest.mark.parametrize("size", [2, 3, 6])
def test_group_sizes_differ_by_rounding(size):
    config = TrainConfig(n_steps=1, batch_size=64, lr=1e-3, warmup=0, group_size=1)
    one = train(WORLD, SAE, config, seeds=range(6))
    other = train(WORLD, SAE, replace(config, group_size=size), seeds=range(6))
    assert largest_difference(one, other) < 1e-5


def test_init_and_data_seeds_are_separate():
    def run(init, data):
        return train(WORLD, SAE, STEADY, seeds=[init], data_seeds=[data])

    base, other_data, other_init = run(0, 0), run(0, 1), run(1, 0)
    assert same_bits(base, train(WORLD, SAE, STEADY, seeds=[0]))
    for other in (other_data, other_init):
        assert largest_difference(base, other) > 1e-3
    still = replace(STILL, n_steps=1)
    a, b = (train(WORLD, SAE, still, seeds=s, data_seeds=[4, 4]) for s in ([0, 1], [2, 1]))
    assert same_bits(a, b, 1, 1)
    assert torch.equal(a.stack.params["b_dec"], b.stack.params["b_dec"])
    assert not torch.equal(a.stack.params["w_enc"][0], b.stack.params["w_enc"][0])


@pytest.mark.parametrize(
    ("init", "init_seeds", "want"),
    [
        ("independent", None, (5, 6, 7)),
        ("shared", None, (0, 0, 0)),
        ("shared", [3, 3, 4], (3, 3, 4)),
        ("independent", [9, 3, 3], (9, 3, 3)),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_which_start_a_seed_has(init, init_seeds, want, size):
    config = replace(STILL, n_steps=1, init=init, group_size=size)
    got = train(WORLD, SAE, config, seeds=[5, 6, 7], init_seeds=init_seeds)
    assert got.stack.seeds == (5, 6, 7)
    assert torch.equal(got.stack.params["w_enc"], SAEStack.init(SAE, D, want).params["w_enc"])


def test_one_start_and_the_same_data_give_one_sae():
    config = replace(STEADY, init="shared", data="shared", group_size=1)
    got = train(WORLD, SAE, config, seeds=[5, 6])
    assert same_bits(got, got, 0, 1)
    for split in ({"init": "independent"}, {"data": "independent"}):
        got = train(WORLD, SAE, replace(config, **split), seeds=[5, 6])
        assert not same_bits(got, got, 0, 1)


@pytest.mark.parametrize(
    ("data", "data_seeds", "want"),
    [
        ("independent", None, {5, 6, 7}),
        ("shared", None, {0}),
        ("shared", [3, 3, 4], {3, 4}),
        ("independent", [3, 3, 3], {3}),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_which_data_a_seed_sees(data, data_seeds, want, size):
    source = Source()
    config = replace(STEADY, data=data, group_size=size)
    got = train(source, SAE, config, seeds=[5, 6, 7], data_seeds=data_seeds)
    assert set(source.asked) == {(t, 16, s, "data") for t in range(4) for s in want}
    own = data_seeds or ([0] * 3 if data == "shared" else [5, 6, 7])
    each = train(WORLD, SAE, replace(STEADY, group_size=size), seeds=[5, 6, 7], data_seeds=own)
    assert all(same_bits(got, each, i, i) for i in range(3))


def test_shared_data_are_drawn_once_for_a_group():
    source = Source()
    train(source, SAE, replace(STEADY, data="shared", group_size=3), seeds=[5, 6, 7])
    assert [t for t, *_ in source.asked] == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("size", [1, 4, 8])
def test_a_seed_that_is_not_finite_is_frozen_and_the_others_do_not_notice(bad, size):
    def poison(x, t, seed):
        return x.index_fill(0, torch.tensor([5]), bad) if (t, seed) == (3, 2) else x

    config = replace(STEADY, n_steps=9, group_size=size)
    clean = train(WORLD, SAE, config, seeds=range(8))
    hurt = train(Source(poison), SAE, config, seeds=range(8))
    before = train(WORLD, SAE, replace(config, n_steps=3), seeds=range(8))
    assert (clean.frozen, hurt.frozen) == ({}, {2: 3})
    for s in range(8):
        assert same_bits(hurt, before if s == 2 else clean, s, s)
        assert s == 2 or torch.equal(hurt.loss[s], clean.loss[s])
        assert s == 2 or torch.equal(hurt.samples_since_fired[s], clean.samples_since_fired[s])


def test_freezing_is_by_sae_where_two_share_an_init_seed():
    def poison(x, t, seed):
        return x * torch.nan if (t, seed) == (2, 1) else x

    config, seeds, data = replace(STEADY, group_size=3), [7, 7, 7], [0, 1, 2]
    clean = train(WORLD, SAE, config, seeds=seeds, data_seeds=data)
    hurt = train(Source(poison), SAE, config, seeds=seeds, data_seeds=data)
    assert [same_bits(hurt, clean, i, i) for i in range(3)] == [True, False, True]


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("clip", [1e-3, 1.0])
def test_clipping_is_per_seed(factor, clip):
    def scale(x, t, seed):
        return x * factor if seed == 1 else x

    config = replace(STEADY, group_size=3, clip=clip)
    clean = train(WORLD, SAE, config, seeds=range(3))
    scaled = train(Source(scale), SAE, config, seeds=range(3))
    assert [same_bits(clean, scaled, s, s) for s in range(3)] == [True, False, True]


def test_silence_counts_the_samples_since_a_latent_fired():
    sae, config = SAEConfig(n_latents=60, k=2), replace(STILL, batch_size=5, n_steps=6)
    got = train(WORLD, sae, config, seeds=[0, 1])
    want = torch.zeros(2, 60, dtype=torch.long)
    for t in range(6):
        code = got.stack.encode(torch.stack([WORLD.batch(t, 5, seed=s) for s in (0, 1)]))
        fired = torch.zeros(2, 5, 60).scatter(2, code.indices, code.values).amax(1) > 0
        want = (want + 5) * ~fired
    assert torch.equal(got.samples_since_fired, want)
    assert set(want.unique().tolist()) == {0, 5, 10, 15, 20, 25, 30}


@pytest.mark.parametrize(
    ("dead_after", "coefficient"), [(5, 0.25), (6, 0.25), (10, 1.0), (11, 0.25), (5, 0.0)]
)
def test_a_latent_is_dead_after_so_many_silent_samples(monkeypatch, dead_after, coefficient):
    """And at an auxiliary weight of 0 none is, so that nothing is spent on them."""
    seen, plain = [], TopK.gradients

    def spy(self, params, x, step):
        found = plain(self, params, x, step)
        seen.append((step.dead.clone(), found.fired, step.aux_coefficient))
        return found

    monkeypatch.setattr(TopK, "gradients", spy)
    config = replace(
        STEADY, batch_size=5, n_steps=6, dead_after=dead_after, aux_coefficient=coefficient
    )
    train(WORLD, SAEConfig(n_latents=60, k=2), config, seeds=[0])
    silent = torch.zeros(1, 60, dtype=torch.long)
    for dead, fired, weight in seen:
        assert torch.equal(dead, (silent >= dead_after) & (coefficient > 0))
        assert weight == coefficient
        silent = (silent + 5) * ~fired
    assert silent.max() >= dead_after


def test_auxk_revives_a_dead_latent_and_nothing_else_does(monkeypatch):
    """Latent 0 starts with an encoder too short to be among the top k, ever."""

    def init(config, d_model, seed):
        p = plain(config, d_model, seed)
        p["w_enc"][0] *= 1e-3
        return p

    plain = base.initial_params
    monkeypatch.setattr(base, "initial_params", init)
    sae, seeds = SAEConfig(n_latents=24, k=3), range(4)
    world = World.plant(replace(WORLD.config, n_isolated=8, isolated_p=0.6), seed=0)
    config = replace(STEADY, n_steps=150, batch_size=32, dead_after=64)
    on = train(world, sae, config, seeds=seeds)
    off = train(world, sae, replace(config, aux_coefficient=0.0), seeds=seeds)
    assert on.samples_since_fired[:, 0].tolist() == [0] * 4
    assert off.samples_since_fired[:, 0].tolist() == [config.n_samples] * 4
    start = SAEStack.init(sae, D, tuple(seeds)).params
    for name in ("w_enc", "b_enc"):
        assert torch.equal(off.stack.params[name][:, 0], start[name][:, 0])


def test_the_learning_rate_rises_stays_and_falls():
    config = TrainConfig(n_steps=100, lr=0.5, warmup=0.1, decay=0.2)
    rate = [config.rate(step, 99) for step in range(100)]
    assert rate[0] == pytest.approx(0.5 / 11)
    assert rate[9] == pytest.approx(0.5 * 10 / 11)
    assert rate[10:80] == [0.5] * 70
    assert rate[80] == pytest.approx(0.5 * 20 / 21)
    assert rate[99] == pytest.approx(0.5 / 21)
    assert rate[:10] == sorted(set(rate[:10]))
    assert rate[80:] == sorted(set(rate[80:]), reverse=True)
    flat = TrainConfig(n_steps=3, warmup=0, decay=0)
    assert [flat.rate(step, 2**14) for step in range(3)] == [2e-4] * 3
    assert flat.rate(0, 2**12) == pytest.approx(4e-4)


def test_dead_limit_is_a_tenth_of_the_samples_and_ten_million_at_most():
    assert TrainConfig(n_steps=1000, batch_size=50).dead_limit() == 5000
    assert TrainConfig(n_steps=10**6, batch_size=512).dead_limit() == 10_000_000
    assert TrainConfig(n_steps=0).dead_limit() == 1
    assert TrainConfig(dead_after=3).dead_limit() == 3


def test_no_steps_leave_the_start():
    got = train(WORLD, SAE, replace(STEADY, n_steps=0), seeds=[1, 2])
    start = SAEStack.init(SAE, D, (1, 2)).params
    assert all(torch.equal(p, start[name]) for name, p in got.stack.params.items())
    assert got.loss.isnan().all()
    assert not got.samples_since_fired.any()
    assert got.frozen == {}


@pytest.mark.parametrize("size", [1, 2, None])
def test_progress_counts_every_step_of_every_seed(size):
    done = []
    train(WORLD, SAE, replace(STEADY, group_size=size), seeds=range(5), progress=done.append)
    assert sum(done) == 4 * 5


@pytest.mark.parametrize("culprit", [0, 1])
def test_an_error_in_the_source_is_raised_and_ends_the_other_groups(monkeypatch, culprit):
    """Also where the group at fault is not the first; the others would take 4 s to end."""
    failed, steps = threading.Event(), []

    def fail(x, t, seed):
        if seed == culprit and t == 2:
            failed.set()
            raise OSError("the disk is gone")
        if seed != culprit and t > 0:
            assert failed.wait(60)
            steps.append(t)
            time.sleep(0.01)
        return x

    monkeypatch.setattr(training.run, "n_workers", lambda config, size: 2)
    config = replace(STEADY, n_steps=400, group_size=1)
    with pytest.raises(OSError, match="the disk is gone"):
        train(Source(fail), SAE, config, seeds=[0, 1])
    assert len(steps) < 399


@pytest.mark.parametrize("bad", [False, True])
def test_the_number_of_threads_is_given_back(bad):
    def look(x, t, seed):
        seen.append(torch.get_num_threads())
        if bad:
            raise OSError("the disk is gone")
        return x

    before, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)
        with pytest.raises(OSError, match="gone") if bad else nullcontext():
            train(Source(look), SAE, replace(STEADY, threads=2), seeds=[0])
        assert set(seen) == {2}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_device_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError) as error:
        train(WORLD, SAE, replace(STEADY, device="cuda"), seeds=[0])
    want = "train.device: 'cuda'; allowed: cpu or auto; torch finds no CUDA device here"
    assert str(error.value) == want
    assert training.resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.resolve_device("auto") == torch.device("cuda")
    assert training.resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("n_steps", -1, "0 or more"),
        ("batch_size", 1, "2 or more"),
        ("lr", 0.0, "above 0"),
        ("warmup", 1.1, "0 or more, at most 1"),
        ("warmup", -0.1, "0 or more, at most 1"),
        ("decay", -0.5, "0 or more, at most 1"),
        ("decay", 2.0, "0 or more, at most 1"),
        ("clip", 0.0, "above 0"),
        ("clip", float("nan"), "above 0"),
        ("aux_coefficient", -1.0, "0 or more"),
        ("dead_after", 0, "1 or more"),
        ("init", "same", "independent, shared"),
        ("data", "same", "independent, shared"),
        ("group_size", 0, "1 or more"),
        ("threads", 0, "1 or more"),
        ("device", "tpu", "auto, cpu, cuda"),
    ],
)
def test_a_bad_field_is_one_line_with_its_name_value_and_range(field, value, allowed):
    with pytest.raises(ConfigError) as error:
        TrainConfig(**{field: value})
    told = error.value
    assert (told.field, told.value) == (f"train.{field}", value) or value != value
    assert told.allowed.startswith(allowed)
