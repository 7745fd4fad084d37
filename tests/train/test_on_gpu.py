"""What only a GPU can show; skipped where there is none."""

import pytest
import torch

import synthsae.train.graph as graph
from synthsae.sae import ARCHITECTURES, SAEConfig, SAEStack
from synthsae.train import TrainConfig
from synthsae.train.group import Group
from synthsae.world import World, WorldConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

S, B, D, M, K = 3, 256, 48, 700, 5
STATIC = [name for name, a in ARCHITECTURES.items() if a.static]


class Source:
    """Batches that lie on the GPU; in some of them little varies, and latents die."""

    d_model = D

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.x = torch.randn(120, S, B, D, generator=g)
        self.x[20:80, :, :, 4:] *= 1e-3
        self.x[90, 1] = torch.nan
        self.x = self.x.cuda()

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        return self.x[t, seed]


def group(arch, precision="auto"):
    config = TrainConfig(
        n_steps=120, batch_size=B, lr=3e-3, dead_after=40 * B, device="cuda", precision=precision
    )
    sae = SAEConfig(arch=arch, n_latents=M, k=K)
    return Group(Source(), SAEStack.init(sae, D, range(S), "cuda"), config, range(S))


def trained(g, n_steps=100):
    for _ in range(n_steps):
        g.step()
    return g


@pytest.mark.parametrize("arch", STATIC)
def test_replayed_steps_have_the_bits_of_launched_ones(monkeypatch, arch):
    replayed = trained(group(arch))
    assert len(replayed.graphs._graphs) > 1
    assert not replayed.graphs._failed
    monkeypatch.setattr(graph, "MAX_PRE_ACTIVATIONS", 0)
    launched = trained(group(arch))
    assert replayed.frozen == launched.frozen == {1: 90}
    for name, value in launched.state().items():
        assert torch.equal(replayed.state()[name].nan_to_num(7), value.nan_to_num(7)), name


@pytest.mark.parametrize("arch", STATIC)
def test_a_step_waits_for_nothing(monkeypatch, arch):
    monkeypatch.setattr(graph, "MAX_PRE_ACTIVATIONS", 0)
    g = trained(group(arch), 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trained(g, 70)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_gpu_learns_what_a_cpu_learns():
    """Loss by loss, while rounding has not yet chosen other latents."""
    on_gpu = group("topk", "float32")
    stack = SAEStack.init(on_gpu.stack.config, D, range(S))
    on_cpu = Group(Moved(on_gpu.source), stack, on_gpu.config, range(S))
    for _ in range(10):
        on_gpu.step()
        on_cpu.step()
        torch.testing.assert_close(on_gpu.loss.cpu(), on_cpu.loss, rtol=1e-3, atol=0)


class Moved:
    """A source's batches on the CPU."""

    def __init__(self, source):
        self.source, self.d_model = source, source.d_model

    def batch(self, t, size, **how):
        return self.source.batch(t, size, **how).cpu()


@pytest.mark.parametrize("law", ["isotropic", "gaussian", "sparse"])
def test_a_world_is_drawn_without_waiting(law):
    """By the kernel; its numbers are held by test_world_cuda.py, its law by `laws.both_ways`."""
    config = WorldConfig(d_model=D, law=law, n_circles=2, noise=0.1)
    world = World.plant(config, seed=0)
    seeds = (4, 0, 9)
    world.batches(0, B, seeds=seeds, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        x = world.batches(1, B, seeds=seeds, device="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for s, seed in enumerate(seeds):
        assert torch.equal(world.batch(1, B, seed=seed, device="cuda"), x[s])
