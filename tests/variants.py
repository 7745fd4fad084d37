"""What the tests of all architectures share: parameters, autograd, and seeds that stay apart."""

from dataclasses import replace

import torch

from synthsae.sae import ARCHITECTURES, SAEConfig, Step
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

S, B, M, D, K = 3, 20, 16, 7, 3
WORLD = World.plant(
    WorldConfig(d_model=16, n_isolated=16, isolated_p=0.15, n_blocks=0, noise=0.05), seed=0
)
CONFIG = TrainConfig(n_steps=300, batch_size=256, lr=0.01, device="cpu")
NOBODY = torch.zeros(S, M, dtype=torch.bool)


def architecture(name, **fields):
    return ARCHITECTURES[name](SAEConfig(arch=name, **{"n_latents": M, "k": K} | fields))


def data(seed=1, b=B, s=S):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(s, b, D, generator=g, dtype=torch.float64) + 1


def random_params(sae, seed=0):
    """Parameters in no special position in float64: rows not unit, biases not 0."""
    g = torch.Generator().manual_seed(seed)
    stack = {name: torch.stack([p] * S).double() for name, p in sae.init(D, 0).items()}
    learned = [name for name in stack if name not in sae.buffers]
    size = {"w_enc": 1.0, "w_dec": 1.0}
    for name in learned:
        noise = torch.randn(stack[name].shape, generator=g, dtype=torch.float64)
        stack[name] = size.get(name, 0.3) * noise
    return stack


def autograd(loss, sae, params, x):
    """Loss [S] of `loss(params, x)` of one seed, and its gradient by name."""
    p = {name: v.clone().requires_grad_(name not in sae.buffers) for name, v in params.items()}
    each = [loss({name: v[s] for name, v in p.items()}, x[s]) for s in range(len(x))]
    torch.stack(each).sum().backward()
    return torch.stack(each).detach(), {n: v.grad for n, v in p.items() if v.requires_grad}


def scatter(x):
    """sum ||x - mean x||^2 of one seed's batch."""
    return (x - x.mean(0)).square().sum()


def assert_gradients(got, want):
    loss, grads = want
    torch.testing.assert_close(got.loss, loss, rtol=1e-9, atol=0, check_dtype=False)
    assert got.grads.keys() == grads.keys()
    for name, g in grads.items():
        assert g.norm() > 0, name
        assert (got.grads[name] - g).norm() <= 1e-9 * g.norm(), name


def assert_apart(sae, dead):
    """No seed notices another, not even one whose data are not finite: bit for bit, in float32."""
    params = {name: p.float() for name, p in random_params(sae).items()}
    x, step = data().float(), Step(dead, 1 / 32)
    want = sae.gradients(params, x, step)
    for bad in (torch.nan, torch.inf, 1e30):
        broken = x.clone()
        broken[1, 3] = bad
        got = sae.gradients(params, broken, step)
        assert set(got.buffers) == set(sae.buffers)
        for s in (0, 2):
            assert torch.equal(got.loss[s], want.loss[s])
            assert torch.equal(got.fired[s], want.fired[s])
            for name, g in {**want.grads, **want.buffers}.items():
                assert torch.equal({**got.grads, **got.buffers}[name][s], g[s]), (name, bad)


def assert_untouched(sae, dead):
    """`gradients` leaves its inputs alone, and unit latents fire where they should."""
    params, x = random_params(sae), data()
    before = {name: p.clone() for name, p in params.items()}, x.clone()
    sae.gradients(params, x, Step(dead, 1 / 32))
    assert all(torch.equal(params[name], p) for name, p in before[0].items())
    assert torch.equal(x, before[1])


def assert_auxk_moves_dead_rows_alone(sae, params):
    dead = NOBODY.clone()
    dead[0, [1, 6, 11]] = dead[2, [2, 7]] = True
    x = data()
    off = sae.gradients(params, x, Step(NOBODY, 1 / 32))
    on = sae.gradients(params, x, Step(dead, 1 / 32))
    for name, g in on.grads.items():
        moved = (g != off.grads[name]).reshape(S, -1, g.shape[-1] if g.ndim == 3 else 1).any(2)
        if name in ("w_enc", "b_enc", "w_dec"):
            assert torch.equal(moved, dead), name
        else:
            assert not moved.any(), name
    assert torch.equal(on.loss > off.loss, dead.any(1))


def l0(stack):
    """Mean L0 of each SAE on held-out samples of WORLD, [S]."""
    code = stack.encode(WORLD.batch(0, 8192, seed=9, stream="eval"))
    return (code.values > 0).sum(2).double().mean(1)


def trained(name, k=2, **fields):
    sae = SAEConfig(arch=name, n_latents=32, k=k, **fields)
    return train(WORLD, sae, CONFIG, seeds=range(3)).stack


def coefficients(monkeypatch, name):
    """The coefficients before each step of a training, [steps, S]."""
    seen, plain = [], ARCHITECTURES[name].gradients

    def spy(self, params, x, step):
        seen.append(params["coefficient"].clone())
        return plain(self, params, x, step)

    monkeypatch.setattr(ARCHITECTURES[name], "gradients", spy)
    sae = SAEConfig(arch=name, n_latents=32, k=2)
    train(WORLD, sae, replace(CONFIG, n_steps=100, group_size=3), seeds=range(3))
    return torch.stack(seen)
