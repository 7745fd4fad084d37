"""Adam in few kernels (interpreted where there is no GPU) against its twin in torch, in float64."""

import pytest
import torch

from synthsae import gpu
from synthsae.train import adam, adam_cuda
from synthsae.train.adam import Adam, FusedAdam

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = [(3, 5, 7), (2, 40, 33), (1, 1, 2), (2, 3, 1030)]  # S, M, D


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def problem(s, m, d, scale=1.0):
    """Parameters with unit decoder rows; gradients of one step after the other."""
    rows = normal(s, m, d, seed=1)
    params = {
        "w_enc": normal(s, m, d, seed=2),
        "b_enc": normal(s, m, seed=3),
        "w_dec": rows / rows.norm(dim=2, keepdim=True),
        "b_dec": normal(s, d, seed=4),
    }

    def grads(step):
        return {name: scale * normal(*p.shape, seed=10 + step) for name, p in params.items()}

    return params, grads


def copied(tensors, dtype=torch.float32):
    return {name: p.to(dtype, copy=True) for name, p in tensors.items()}


def run(kind, params, grads, n_steps=3, sphere=True, dead_from=None, dtype=torch.float32):
    """The optimiser and its norms after some steps; the last SAE freezes at step `dead_from`."""
    params = copied(params, dtype)
    optimiser, norms = kind(params, sphere), []
    alive = torch.ones(len(params["b_dec"]), dtype=torch.bool, device=DEVICE)
    for step in range(n_steps):
        alive[-1] &= step != dead_from
        g = copied(grads(step), dtype)
        if step == dead_from:
            for v in g.values():
                v[-1] = torch.nan
        norms.append(optimiser.norms(g))
        optimiser.begin(0.1 / (step + 1))
        optimiser.step(g, (1.0 / norms[-1]).clamp(max=1), alive)
    return optimiser, norms


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_the_kernels_do_what_torch_does(size, scale):
    """Gradients of 1e-7 make Adam's epsilon show."""
    params, grads = problem(*size, scale)
    got, norms = run(FusedAdam, params, grads)
    want, exact = run(Adam, params, grads, dtype=torch.float64)
    for a, b in zip(norms, exact, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-6, atol=0)
    for name, p in want.params.items():
        torch.testing.assert_close(got.params[name].double(), p, rtol=0, atol=3e-6)
    moments = dict(want.state())
    for name, value in got.state():
        a, b = value.double().cpu(), moments[name].double().cpu()
        torch.testing.assert_close(a, b, rtol=0, atol=3e-6 * b.abs().max().item())


@pytest.mark.parametrize("radial", [1e2, 1e4])
def test_a_long_radial_part_leaves_its_rounding_alone(radial):
    """The tangent is formed before it is squared: ||g||^2 - <g, d>^2 would lose it at 1e4."""
    params, grads = problem(2, 40, 33)

    def long(step):
        g = grads(step)
        return g | {"w_dec": g["w_dec"] + radial * params["w_dec"]}

    got, exact = (
        run(FusedAdam, params, long, 1)[1][0],
        run(Adam, params, long, 1, dtype=torch.float64),
    )
    torch.testing.assert_close(got.double(), exact[1][0], rtol=1e-7 * radial, atol=0)


def test_decoder_rows_stay_where_they_do_not_learn():
    params, grads = problem(2, 6, 5)
    del params["w_dec"]
    got, norms = run(FusedAdam, params, grads, sphere=False)
    want, exact = run(Adam, params, grads, sphere=False, dtype=torch.float64)
    for a, b in zip(norms, exact, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-6, atol=0)
    for name, p in want.params.items():
        torch.testing.assert_close(got.params[name].double(), p, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [Adam, FusedAdam])
def test_the_same_bits_twice_and_rows_of_length_one(kind):
    params, grads = problem(3, 20, 17)
    (a, _), (b, _) = (run(kind, params, grads) for _ in range(2))
    for name, p in a.params.items():
        assert torch.equal(p, b.params[name])
    assert (a.params["w_dec"].norm(dim=2) - 1).abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Adam, FusedAdam])
def test_a_frozen_sae_stays_and_the_others_do_not_notice(kind):
    params, grads = problem(3, 20, 17)
    clean, _ = run(kind, params, grads, n_steps=5)
    short, _ = run(kind, params, grads, n_steps=2)
    hurt, _ = run(kind, params, grads, n_steps=5, dead_from=2)
    for name, p in hurt.params.items():
        assert torch.equal(p[:2], clean.params[name][:2])
        assert torch.equal(p[2], short.params[name][2])


@pytest.mark.parametrize("kind", [Adam, FusedAdam])
def test_a_seed_alone_has_the_bits_it_has_in_a_stack(kind):
    params, grads = problem(3, 20, 17)
    stacked, _ = run(kind, params, grads)
    for s in range(3):

        def own(step, s=s):
            return {name: g[s : s + 1] for name, g in grads(step).items()}

        alone, _ = run(kind, {name: p[s : s + 1] for name, p in params.items()}, own)
        assert all(torch.equal(p[0], stacked.params[name][s]) for name, p in alone.params.items())


@pytest.mark.parametrize("kind", [Adam, FusedAdam])
def test_a_state_brings_back_the_rest_of_a_training(kind):
    params, grads = problem(2, 6, 5)
    whole, _ = run(kind, params, grads, n_steps=4)
    first, _ = run(kind, params, grads, n_steps=2)
    second = kind(copied(first.params), True)
    second.restore({name: v.clone() for name, v in first.state()})
    for step in (2, 3):
        g = grads(step)
        norm = second.norms(g)
        second.begin(0.1 / (step + 1))
        second.step(g, (1.0 / norm).clamp(max=1), torch.ones(2, dtype=torch.bool, device=DEVICE))
    assert dict(second.state()).keys() == dict(whole.state()).keys()
    for name, p in whole.params.items():
        assert torch.equal(p, second.params[name])


def test_which_one_is_taken(monkeypatch):
    params, _ = problem(1, 2, 3)
    monkeypatch.setattr(adam, "usable", lambda kernel, p: False)
    assert type(adam.adam(params, True)) is Adam
    monkeypatch.setattr(adam, "usable", lambda kernel, p: True)
    assert type(adam.adam(params, True)) is FusedAdam
    monkeypatch.setattr(adam, "MAX_ROW", 2)
    assert type(adam.adam(params, True)) is Adam
    assert type(adam.adam(params, False)) is FusedAdam


def test_trial_launches_change_nothing():
    params, _ = problem(2, 3, 5)
    before = copied(params)
    fused = FusedAdam(params, True)
    fused.try_launches()
    assert all(torch.equal(p, before[name]) for name, p in params.items())
    assert not any(value.any() for _, value in fused.state())


@pytest.mark.parametrize("launch", ["squares", "step"])
def test_kernels_that_cannot_be_launched_are_replaced(monkeypatch, capsys, launch):
    """Before the first step: an error in the middle of one would leave it half done."""

    def too_large(*_):
        raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(gpu, "_usable", {})
    monkeypatch.setattr(adam, "usable", lambda kernel, p: True)
    monkeypatch.setattr(adam_cuda, launch, too_large)
    params, _ = problem(1, 2, 3)
    before = copied(params)
    assert type(adam.adam(params, True)) is Adam
    assert all(torch.equal(p, before[name]) for name, p in params.items())
    assert "out of resource" in capsys.readouterr().err
