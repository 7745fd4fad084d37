"""How a sample of a world is held to its law.

Seeds are fixed. A count is tested against its exact binomial law and a sample against its
distribution function, at the level ALPHA; a moment may be five standard errors off. `both_ways`
holds the sampler and the kernel that takes its place on a GPU to the same law.
"""

import numpy as np
import pytest
import scipy.stats
import torch

from synthsae.world import World, WorldConfig

ALPHA = 1e-6
N = 20_000

both_ways = pytest.mark.usefixtures("way")


@pytest.fixture(params=["torch", pytest.param("triton", marks=pytest.mark.slow)])
def way(request, monkeypatch):
    """What a world draws with. Without a GPU the kernel is interpreted, which is slow."""
    if request.param == "triton":
        draw_by_kernel(monkeypatch)


def draw_by_kernel(monkeypatch):
    """Worlds draw as on a GPU, but for those that are not `Sampler.simple`."""
    for name in ("batch", "magnitudes") if torch.cuda.is_available() else ():
        monkeypatch.setattr(World, name, on_gpu(getattr(World, name)))
    if not torch.cuda.is_available():
        monkeypatch.setattr("synthsae.world.source._kernel_draws", lambda sampler: sampler.simple)
        monkeypatch.setattr("synthsae.world.cuda.ROWS", 2**15)  # few programs are soon interpreted
        monkeypatch.setattr("synthsae.world.cuda.TILE", 2**20)


def on_gpu(method):
    return lambda *args, **how: method(*args, **how, device="cuda").cpu()


def draw(size=N, **fields):
    """A world and one of its batches [size, D]."""
    world = World.plant(WorldConfig(**fields), seed=0)
    return world, world.batch(0, size, seed=0).numpy().astype(float)


def count_is(count, n, p):
    return scipy.stats.binomtest(int(count), n, p).pvalue > ALPHA


def follows(x, law):
    return scipy.stats.kstest(x, law.cdf).pvalue > ALPHA


def mean_is(x, value):
    error = x.std(axis=0) / len(x) ** 0.5
    return np.all(np.abs(x.mean(axis=0) - value) <= 5 * error + 1e-6)


def fired(size=N, **fields):
    """A world of orthonormal isolated features and how strongly each fires, [size, F]."""
    world, x = draw(
        size, **{"n_blocks": 0, "rank": 1, "d_model": fields["n_isolated"] + 1} | fields
    )
    value = (x - world.bias) @ world.isolated.T
    return world, np.where(np.abs(value) > 1e-5, value, 0)
