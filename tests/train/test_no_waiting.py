"""On a GPU a step of training neither waits for the device nor looks at numbers that it holds.

Shown without one: the tensors are fakes, which have a shape and no numbers and refuse every
question that numbers would have to answer; they say of themselves that they are on a GPU. Triton's
kernels are not launched.
"""

from contextlib import nullcontext

import pytest
import torch
from guarded import trust_kernels
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

import synthsae.train.dead_latents as dead_latents
import synthsae.train.graph as graph
from synthsae.sae import ARCHITECTURES, SAEConfig, SAEStack, cuda_kernels
from synthsae.sae.auxk import CHUNK
from synthsae.train import TrainConfig, adam_cuda
from synthsae.train.group import Group
from synthsae.world import World, WorldConfig
from synthsae.world import cuda_kernels as world_kernels

S, B, D, M, K = 3, 2000, 24, 700, 5
KERNELS = {
    cuda_kernels: {"mark", "collect", "residual", "inner_products", "window_sums", "latent_sums"},
    adam_cuda: {"square_chunks", "step_chunks"},
}
DRAW = {world_kernels: {"draw"}}


class Launch:
    """Stands for a kernel of Triton and writes nothing."""

    def __init__(self, name, launched):
        self.name, self.launched = name, launched

    def __getitem__(self, grid):
        return lambda *args, **how: self.launched.add(self.name)


class NothingFromTheHost(TorchDispatchMode):
    """Fails where a tensor is made of numbers of the host, which would have to be copied."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "lift" not in str(func)
        return func(*args, **(kwargs or {}))


class Source:
    d_model = D

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        return torch.empty(size, D, device=device)


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels that fakes, which have to be made yet, are given to."""
    names = set()
    for module, of_module in (KERNELS | DRAW).items():
        for name in of_module:
            assert hasattr(module, name)
            monkeypatch.setattr(module, name, Launch(name, names))
    monkeypatch.setattr(FakeTensor, "is_cuda", True)
    trust_kernels(monkeypatch)
    monkeypatch.setattr(graph, "MAX_PRE_ACTIVATIONS", 0)
    monkeypatch.setattr(dead_latents, "copy_to_host", lambda number: lambda: CHUNK + 1)
    with FakeTensorMode():
        yield names


@pytest.fixture
def launched(launches):
    """The same, where nothing comes from the host any more."""
    with NothingFromTheHost():
        yield launches


def group(arch="topk", seeds=range(S), source=None, **how):
    """A group of fakes with `later` bounds on the dead."""
    config = TrainConfig(n_steps=1000, batch_size=B, precision="bfloat16", **how)
    sae = SAEConfig(arch=arch, n_latents=M, k=K)
    params = SAEStack.init(sae, D, range(S), "meta").params
    fakes = {name: torch.empty(p.shape) for name, p in params.items()}
    return Group(source or Source(), SAEStack(sae, tuple(range(S)), fakes), config, seeds)


@pytest.mark.slow
@pytest.mark.parametrize("arch", [name for name, a in ARCHITECTURES.items() if a.static])
@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_a_step_waits_for_nothing(launched, arch, dead, shared):
    """And an architecture that says so of itself, `static`, needs no number either."""
    g = group(arch, seeds=[0] * S if shared else range(S), dead_after=1 if dead else None)
    for _ in range(dead_latents.EVERY + 1 if dead else 1):
        g.step()
    if arch == "topk":
        assert launched == {name for of_module in KERNELS.values() for name in of_module}


@pytest.mark.parametrize("law", ["isotropic", "gaussian", "sparse"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_step_on_a_world_waits_for_nothing(launches, law, shared):
    """Once its tables and the keys of its seeds are on the device."""
    config = WorldConfig(d_model=D, n_isolated=8, law=law, rank=2, n_circles=1, noise=0.1)
    world = World.plant(config, seed=0)
    g = group(seeds=[0] * S if shared else range(S), source=world)
    for warm in (False, True):
        launches.clear()
        with NothingFromTheHost() if warm else nullcontext():
            g.step()
            world.magnitudes(0, B, seed=0)
        assert "draw" in launches


@pytest.mark.parametrize(
    "wait",
    [
        lambda dead: dead.any().item(),
        lambda dead: bool(dead.any()),
        lambda dead: dead.nonzero(),
        lambda dead: dead.sum(1).tolist(),
        lambda dead: dead[dead],
        lambda dead: dead.float()[dead],
        lambda dead: dead.unique(),
        lambda dead: dead.repeat_interleave(dead.long().ravel()),
        lambda dead: dead.long().ravel().bincount(),
        lambda dead: torch.tensor([1], device=dead.device),
    ],
)
def test_a_wait_is_found(launched, wait):
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException, AssertionError)):
        wait(group().samples_since_fired > 0)
