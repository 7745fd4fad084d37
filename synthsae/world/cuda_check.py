"""The small problem on which the kernel that draws batches is compared with its plain twin."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from synthsae.guard import Case
from synthsae.world import cuda
from synthsae.world.config import WorldConfig
from synthsae.world.cuda_twin import Twin
from synthsae.world.source import World

STREAM, SEEDS, T, ROWS = "eval", (3, 2**33), 2**40 + 3, 12
WORLD = WorldConfig(
    d_model=9, n_isolated=9, isolated_p=0.2, zipf=0.5, scale_first=2.0, magnitude="exponential",
    n_blocks=2, rank=2, block_p=0.4, block_scale=1.5, n_circles=1, circle_p=0.4, noise=0.2,
    bias=0.4,
)  # fmt: skip
"""Everything that the kernel draws, with blocks of isotropic codes."""


def draw(device: torch.device) -> Iterator[Case]:
    """The samples of a batch and the magnitudes in it, of two data seeds."""
    world = World.plant(WORLD, seed=1)
    sampler = world.sampler(device)
    keys = sampler.keys(STREAM, SEEDS)
    rows = [Twin(world, STREAM, seed, T, row).draw() for seed in SEEDS for row in range(ROWS)]

    def twin() -> list[Tensor]:
        parts = (np.stack([each[part] for each in rows]) for part in (0, 1))
        found = (torch.from_numpy(each).float().to(device) for each in parts)
        return [each.view(len(SEEDS), ROWS, -1) for each in found]

    yield Case(lambda: [f(sampler, keys, T, ROWS) for f in (cuda.batches, cuda.magnitudes)], twin)


CHECKS = {"draw": draw}
