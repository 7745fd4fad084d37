"""HierarchicalTopK against truncated sums by autograd, its memory, and one SAE at every budget."""

import weakref
from dataclasses import replace

import dense
import pytest
import torch
import truncations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from truncations import COEFFICIENT, B, D, M, S

from synthsae.evaluation import evaluate
from synthsae.sae import SAEConfig, SAEStack, Step
from synthsae.sae.hierarchical_topk import HierarchicalTopK
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

WORLD = World.plant(
    WorldConfig(d_model=24, n_isolated=30, isolated_p=0.2, n_blocks=0, rank=1, noise=0.02), seed=0
)
CONFIG = TrainConfig(n_steps=150, batch_size=128, lr=5e-3, device="cpu")


def sae(k, m=M):
    return HierarchicalTopK(SAEConfig("hierarchical_topk", n_latents=m, k=k))


def reference(k):
    """The mean over t of the loss with the t largest."""

    def loss(p, x, dead):
        pre = (x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"]
        x_hat = [dense.topk(pre, t) @ p["w_dec"] + p["b_dec"] for t in range(1, k + 1)]
        main = sum(truncations.relative(x, each) for each in x_hat) / k
        held = (x - p["b_dec"].detach()) @ p["w_enc"].T + p["b_enc"]
        return main + truncations.auxk(p, x, x_hat[-1], held, dead)

    return loss


@pytest.mark.parametrize("k", [1, 3, 6, M])
@pytest.mark.parametrize("b", [3, B], ids="batch of {}".format)
@pytest.mark.parametrize("counts", [(0, 0, 0), (4, 0, 2), (M, 1, 10)], ids=str)
def test_gradients_equal_autograd(k, b, counts):
    """In one chunk of the walk (B > M), and in several of up to five entries (M / B = 5)."""
    params, x = dense.random_params(S, M, D), truncations.data(b=b)
    dead = truncations.dead_latents(*counts)
    got = sae(k).gradients(params, x, Step(dead, COEFFICIENT))
    truncations.assert_equal(got, truncations.autograd(reference(k), params, x, dead))


def test_seeds_cannot_notice_each_other():
    params = dense.random_params(S, M, D)
    truncations.assert_seeds_do_not_notice_each_other(sae(5), params)


def test_auxk_touches_dead_rows_alone():
    params, x = dense.random_params(S, M, D), truncations.data()
    dead = truncations.dead_latents(3, 0, 2)
    off = sae(2).gradients(params, x, Step(torch.zeros_like(dead), COEFFICIENT))
    on = sae(2).gradients(params, x, Step(dead, COEFFICIENT))
    for name in ("w_enc", "b_enc", "w_dec"):
        moved = (on.grads[name] != off.grads[name]).reshape(S, M, -1).any(2)
        assert torch.equal(moved, dead), name
    assert torch.equal(on.grads["b_dec"], off.grads["b_dec"])


class Peak(TorchDispatchMode):
    """The most bytes that tensors made under it held at a time."""

    def __init__(self):
        super().__init__()
        self.held, self.now, self.most = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and t.layout == torch.strided:
                self.watch(t)
        return out

    def watch(self, t):
        """Count the storage of `t` until the last tensor on it is gone."""
        storage = t.untyped_storage()
        key = storage.data_ptr()
        if key not in self.held:
            self.held[key] = 0
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
        self.held[key] += 1
        weakref.finalize(t, self.drop, key, storage.nbytes())

    def drop(self, key, size):
        self.held[key] -= 1
        if self.held[key] == 0:
            del self.held[key]
            self.now -= size


def peak_bytes(k, b=64, m=128, d=256):
    params = dense.random_params(1, m, d, dtype=torch.float32)
    x = torch.randn(1, b, d, generator=torch.Generator().manual_seed(0))
    with Peak() as peak:
        sae(k, m).gradients(params, x, Step(torch.zeros(1, m, dtype=torch.bool), 0.0))
    return peak.most


def test_memory_does_not_grow_with_k():
    """The entries and their sort take some 100 bytes each; a kept x_hat_t would be 1024."""
    b, d, few, many = 64, 256, 8, 64
    growth = (peak_bytes(many) - peak_bytes(few)) / ((many - few) * b)
    assert 0 < growth < 4 * d / 8


def test_the_loss_is_the_mean_over_budgets_of_what_topk_at_that_budget_reconstructs():
    """And the same parameters with a smaller k are an SAE."""
    k = 4
    stack = train(WORLD, SAEConfig("hierarchical_topk", 48, k), CONFIG, seeds=[0, 1]).stack
    x = torch.stack([WORLD.batch(900, 512, seed=s) for s in (0, 1)])
    each = []
    for t in range(1, k + 1):
        small = SAEStack(replace(stack.config, arch="topk", k=t), stack.seeds, stack.params)
        miss = (x - small.decode(small.encode(x))).square().sum((1, 2))
        each.append(miss / (x - x.mean(1, keepdim=True)).square().sum((1, 2)))
    nobody = torch.zeros(2, 48, dtype=torch.bool)
    got = stack.architecture.gradients(stack.params, x, Step(nobody, 0.0))
    torch.testing.assert_close(got.loss, torch.stack(each).mean(0))


def test_it_serves_smaller_budgets_better_than_topk_does(tmp_path):
    """Explained variance with the largest one or two of k = 6 latents; L0 is k."""
    got = {}
    for arch in ("topk", "hierarchical_topk"):
        stack = train(WORLD, SAEConfig(arch, 48, 6), CONFIG, seeds=[0, 1]).stack
        got[arch] = [
            evaluate(SAEStack(replace(stack.config, k=k), stack.seeds, stack.params), WORLD, 4096)
            for k in (1, 2, 6)
        ]
        x = WORLD.batch(1, 1024, seed=9)
        assert (abs(truncations.mean_l0(stack, x) - 6) < 0.3).all()
        truncations.assert_saved_and_loaded_as_trained(stack, tmp_path, x)
    plain, ours = ([e.explained_variance.mean() for e in got[arch]] for arch in got)
    print(plain, ours)
    assert ours[0] > plain[0] + 0.02
    assert ours[1] > plain[1] + 0.02
