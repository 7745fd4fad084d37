"""Adam on the sphere as two Triton kernels; `adam.Adam` is their plain twin.

Nothing imports this module when the package is imported: it needs triton. A program holds a chunk
of a tensor [S, ...] in registers: one row of D where rows are on the sphere, else CHUNK numbers. It
mixes no two seeds, uses no atomics (the same input gives the same bits), and reads on the device
what changes from step to step, so that a CUDA graph can hold it.

*Traffic* counts bytes moved once each, a number. Both matrices of an SAE take 68 M D a step;
torch's operations take 112: the projection 20, lengths 8, clipping 16, Adam 56, rows 12.
"""
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from synthsae.train.config import BETAS, EPSILON

CHUNK = 1024


@triton.jit
def _tangent(g, d):
    """What is left of the row g without its part along the unit row d."""
    return g - tl.sum(g * d, 0) * d


@triton.jit
def square_chunks(g, d, out, N, WIDTH: tl.constexpr, SPHERE: tl.constexpr, BLOCK: tl.constexpr):
    """The sum of the squares of each chunk of g, or of its tangent, in `out` [S, chunks]."""
    i = tl.arange(0, BLOCK)
    first, start = tl.program_id(0).to(tl.int64) * WIDTH, tl.program_id(1).to(tl.int64) * N
    mask = (i < WIDTH) & (first + i < N)
    row = tl.load(g + start + first + i, mask=mask, other=0.0)
    if SPHERE:
        row = _tangent(row, tl.load(d + start + first + i, mask=mask, other=0.0))
    at = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    tl.store(out + at, tl.sum(row * row, 0))


@triton.jit
def step_chunks(
    p, g, m, v, factor, alive, correction, N,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr,
    WIDTH: tl.constexpr, SPHERE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A step of one chunk; `correction` holds rate / (1 - beta1^n) and 1 / (1 - beta2^n)."""
    seed = tl.program_id(1)
    if tl.load(alive + seed) != 0:
        i = tl.arange(0, BLOCK)
        first, start = tl.program_id(0).to(tl.int64) * WIDTH, seed.to(tl.int64) * N
        mask = (i < WIDTH) & (first + i < N)
        at = start + first + i
        row, h = tl.load(p + at, mask=mask, other=0.0), tl.load(g + at, mask=mask, other=0.0)
        if SPHERE:
            h = _tangent(h, row)
        h *= tl.load(factor + seed)
        mean = tl.load(m + at, mask=mask, other=0.0)
        square = tl.load(v + at, mask=mask, other=0.0)
        mean += (h - mean) * (1 - BETA1)
        square = square * BETA2 + h * h * (1 - BETA2)
        size = tl.sqrt_rn(square * tl.load(correction + 1)) + EPS
        row -= tl.load(correction) * (mean / size)
        if SPHERE:
            row /= tl.sqrt_rn(tl.sum(row * row, 0))
        tl.store(p + at, row, mask=mask)
        tl.store(m + at, mean, mask=mask)
        tl.store(v + at, square, mask=mask)


def squares(g: Tensor, rows: Tensor | None) -> Tensor:
    """||g||^2 of each seed of `g` [S, ...], [S]; of what is tangent to unit `rows` [S, M, D].

    Traffic: 4 a number, with `rows` 8.
    """
    g = g.contiguous()
    grid, n, sizes = _chunks(g, rows is not None)
    out = torch.empty(grid[1], grid[0], device=g.device)
    square_chunks[grid](g, g if rows is None else rows, out, n, **sizes)
    return out.sum(1)


def step(
    p: Tensor, g: Tensor, m: Tensor, v: Tensor,
    factor: Tensor, alive: Tensor, correction: Tensor, sphere: bool,
) -> None:  # fmt: skip
    """A step of Adam on `p` [S, ...] and its moments, in place, where `alive` [S].

    The gradient is `g`, made tangent to rows on the sphere, times `factor` [S]; `correction` [2] is
    rate / (1 - beta1^n) and 1 / (1 - beta2^n) at the n-th step. Traffic: 28 a number.
    """
    assert p.is_contiguous()
    grid, n, sizes = _chunks(p, sphere)
    how = {"BETA1": BETAS[0], "BETA2": BETAS[1], "EPS": EPSILON} | sizes
    step_chunks[grid](p, g.contiguous(), m, v, factor, alive, correction, n, **how)


def _chunks(p: Tensor, sphere: bool) -> tuple[tuple[int, int], int, dict[str, int | bool]]:
    """Programs (chunks, S), numbers of a seed, and the size of a chunk."""
    n = p[0].numel()
    width = p.shape[-1] if sphere else CHUNK
    block = triton.next_power_of_2(width)
    sizes = {"WIDTH": width, "SPHERE": sphere, "BLOCK": block}
    return (-(-n // width), len(p)), n, sizes | {"num_warps": min(max(block // 256, 1), 16)}
