"""What the tests of the TopK variants share: plain dense losses, by autograd, seed by seed."""

import dense
import torch

from synthsae.sae import Step

S, B, M, D = 3, 20, 16, 7
COEFFICIENT = 1 / 32


def data(seed=1, b=B):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(S, b, D, generator=g, dtype=torch.float64) + 1


def dead_latents(*counts):
    """A dead mask [S, M] with a count for each seed, elsewhere in each."""
    mask = torch.zeros(S, M, dtype=torch.bool)
    for s, n in enumerate(counts):
        mask[s, (5 * torch.arange(n) + s) % M] = True
    return mask


def auxk(p, x, x_hat, pre, dead):
    """AuxK of one SAE (science.md, section 8); `pre` [B, M] with gradients to the encoder."""
    if not dead.any():
        return 0.0
    e = (x - x_hat).detach()
    scatter = (e - e.mean(0)).square().sum()
    z = dense.topk(pre[:, dead], min(x.shape[1] // 2, int(dead.sum())))
    return COEFFICIENT * (e - z @ p["w_dec"][dead]).square().sum() / scatter


def relative(x, x_hat):
    return (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()


def autograd(loss, params, x, dead):
    """Loss [S] and gradient by parameter of a stack; `loss(p, x, dead)` is that of one SAE."""
    p = {name: v.clone().requires_grad_() for name, v in params.items()}
    each = [loss({n: v[s] for n, v in p.items()}, x[s], dead[s]) for s in range(len(x))]
    torch.stack(each).sum().backward()
    return torch.stack(each).detach(), {name: v.grad for name, v in p.items()}


def assert_equal(got, want):
    loss, grads = want
    torch.testing.assert_close(got.loss, loss, rtol=1e-9, atol=0)
    assert got.grads.keys() == grads.keys()
    for name, g in grads.items():
        assert (got.grads[name] - g).norm() <= 1e-9 * g.norm(), name


def assert_seeds_do_not_notice_each_other(sae, params):
    """Not even one whose data are not finite: bit for bit, in float32; nothing is written to."""
    params = {name: p.float() for name, p in params.items()}
    x, dead = data().float(), dead_latents(4, 10, 1)
    before = {name: p.clone() for name, p in params.items()}, x.clone()
    want = sae.gradients(params, x, Step(dead, COEFFICIENT))
    assert all(torch.equal(params[name], p) for name, p in before[0].items())
    assert torch.equal(x, before[1])
    for bad in (torch.nan, torch.inf, 1e30):
        broken = x.clone()
        broken[1, 3] = bad
        got = sae.gradients(params, broken, Step(dead, COEFFICIENT))
        for s in (0, 2):
            assert torch.equal(got.loss[s], want.loss[s])
            assert torch.equal(got.fired[s], want.fired[s])
            for name, g in want.grads.items():
                assert torch.equal(got.grads[name][s], g[s]), (name, bad)


def assert_saved_and_loaded_as_trained(stack, path, x):
    """Same config, bits and code."""
    stack.save(path / "stack.safetensors")
    again = type(stack).load(path / "stack.safetensors")
    assert (again.config, again.seeds) == (stack.config, stack.seeds)
    assert again.params.keys() == stack.params.keys()
    assert all(torch.equal(p, again.params[name]) for name, p in stack.params.items())
    assert type(again.architecture) is type(stack.architecture)
    a, b = stack.encode(x), again.encode(x)
    assert torch.equal(a.values, b.values)
    assert torch.equal(a.indices, b.indices)


def mean_l0(stack, x):
    """Latents that fire on a sample of `x`, [S]."""
    return (stack.encode(x).values > 0).double().sum(2).mean(1)
