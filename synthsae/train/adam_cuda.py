"""Adam with decoder rows of unit norm as two Triton kernels; `adam.Adam` computes the same.

The module needs Triton, and is imported only on a GPU. Each program holds a chunk of a tensor
[S, ...] in registers: one row of D numbers if rows keep unit norm, else CHUNK numbers. Seeds are
never mixed. There are no atomic operations, so that the same input gives the same bits. Whatever
changes between steps is read from the device, so that a CUDA graph can record the kernels.

*Traffic* is the number of bytes that are read and written for each number of the tensor. The two
matrices of an SAE take 68 M D bytes a step. PyTorch's operations take 112 M D: 20 for the
projection, 8 for norms, 16 for clipping, 56 for Adam and 12 for the norms of the rows.
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
    """g - <g, d> d: the row g without its part along the unit row d."""
    return g - tl.sum(g * d, 0) * d


@triton.jit
def square_chunks(g, d, out, N, WIDTH: tl.constexpr, SPHERE: tl.constexpr, BLOCK: tl.constexpr):
    """Write the sum of squares of each chunk of g, or of its tangent, to `out` [S, chunks]."""
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
    p, g, m, v, factor, active, correction, N,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr,
    WIDTH: tl.constexpr, SPHERE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Update one chunk; `correction` holds rate / (1 - beta1^n) and 1 / (1 - beta2^n)."""
    seed = tl.program_id(1)
    if tl.load(active + seed) != 0:
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
    """||g||^2 of each seed of `g` [S, ...], [S].

    With unit `rows` [S, M, D], it is that of the part of g tangent to them. Traffic: 4 bytes, or 8
    with `rows`.
    """
    g = g.contiguous()
    grid, n, sizes = _chunks(g, rows is not None)
    out = torch.empty(grid[1], grid[0], device=g.device)
    square_chunks[grid](g, g if rows is None else rows, out, n, **sizes)
    return out.sum(1)


def step(
    p: Tensor, g: Tensor, m: Tensor, v: Tensor,
    factor: Tensor, active: Tensor, correction: Tensor, sphere: bool,
) -> None:  # fmt: skip
    """Do one step of Adam on `p` and its moments, in place. Traffic: 28 bytes.

    Args:
        p: a parameter, [S, ...].
        g: its gradient, [S, ...].
        m: running mean of the gradient, [S, ...].
        v: running mean of the squared gradient, [S, ...].
        factor: the gradient is multiplied by it, [S].
        active: which SAEs are updated, bool [S].
        correction: rate / (1 - beta1^n) and 1 / (1 - beta2^n) at the n-th step, [2].
        sphere: whether rows keep unit norm; the gradient is then made tangent to them.
    """
    assert p.is_contiguous()
    grid, n, sizes = _chunks(p, sphere)
    how = {"BETA1": BETAS[0], "BETA2": BETAS[1], "EPS": EPSILON} | sizes
    step_chunks[grid](p, g.contiguous(), m, v, factor, active, correction, n, **how)


def _chunks(p: Tensor, sphere: bool) -> tuple[tuple[int, int], int, dict[str, int | bool]]:
    """The grid (chunks, S), the count of numbers of one seed, and the compile-time sizes."""
    n = p[0].numel()
    width = p.shape[-1] if sphere else CHUNK
    block = triton.next_power_of_2(width)
    sizes = {"WIDTH": width, "SPHERE": sphere, "BLOCK": block}
    return (-(-n // width), len(p)), n, sizes | {"num_warps": min(max(block // 256, 1), 16)}
