"""Draw batches of many data seeds with one Triton kernel, without waiting for the device.

This module needs triton; importing the package does not import it. The law of the samples is that
of `Sampler`, but the random numbers differ. Each is Philox 4x32-10 (Salmon et al. 2011) of

    key = the word of a stream and a data seed,    counter = (which, 4 row + purpose, t).

A sample therefore depends on (stream, seed, t, row) alone, to the bit. It does not depend on the
other seeds and rows of the batch.

*Traffic* is the number of bytes moved, each counted once.
"""

import torch
import triton
from torch import Tensor

from synthsae.world import cuda_kernels as compiled
from synthsae.world.poisson import CELLS
from synthsae.world.sampler import Sampler

TILE = 2048
"""Numbers of a batch that one program holds in registers, 16 a thread; or one row, if longer."""
ROWS = 128
"""Largest number of samples that one program draws."""


def batches(sampler: Sampler, keys: Tensor, t: int, size: int) -> Tensor:
    """Batch `t` of the data seeds with `keys` [S], [S, B, D] for a size B.

    Traffic: 4 S B D bytes written. Each direction that fires in a sample is read, 4 D bytes, from
    the cache if the tables fit into it.
    """
    out = torch.empty(len(keys), size, sampler.config.d_model, device=keys.device)
    return _draw(sampler, keys, t, out, False)


def magnitudes(sampler: Sampler, keys: Tensor, t: int, size: int) -> Tensor:
    """Magnitude of every single in the samples of `batches`, [S, B, F + G m]."""
    out = torch.zeros(len(keys), size, len(sampler.singles), device=keys.device)
    return _draw(sampler, keys, t, out, True)


def _draw(world: Sampler, keys: Tensor, t: int, out: Tensor, magnitudes: bool) -> Tensor:
    """Launch the kernel that fills `out`."""
    c, gates, (s, b, _) = world.config, world.gates, out.shape
    assert b <= 2**30  # counters are 32 bits
    bd = max(4, triton.next_power_of_2(c.d_model))
    rows = max(1, min(ROWS, TILE // bd))
    axes = world.block_axes.contiguous(), world.circle_axes.contiguous()  # a single block's are not
    compiled.draw[(s * -(-b // rows),)](
        keys, gates.edges, gates.guide, world.scale, world.sd,
        world.singles, *axes, world.bias, out, t,
        b, c.d_model, c.rank, len(gates.edges), len(world.singles), world.first_circle,
        float(c.block_scale), float(c.circle_arc), float(c.circle_density), float(c.noise),
        LAW=c.magnitude, BLOCKS=c.law if c.n_block_gates else "", SHARED=c.blocks_per_gate,
        CIRCLES=c.n_circles > 0, DENSE=c.circle_density > 1, NOISY=c.noise > 0,
        MAGNITUDES=magnitudes, CELLS=CELLS, ROWS=rows, BD=bd, num_warps=max(rows * bd // 512, 1),
    )  # fmt: skip
    return out
