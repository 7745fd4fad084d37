"""The sparse steps of a TopK SAE as Triton kernels; `kernels.py` is their plain twin.

Nothing imports this module when the package is imported: it needs triton, which only a CUDA build
of torch brings. Every function takes stacks with the seed axis first and contiguous tensors, mixes
no two seeds, uses no atomics (the same input gives the same bits), and never waits for the device,
so that a CUDA graph can hold all of them. The order of every sum depends on its own seed alone.

*Traffic* counts bytes moved once each; P, W, X are the bytes of a number in `pre`, `weight`, `x`.
"""

import torch
from torch import Tensor

from synthsae.sae import cuda_kernels as compiled
from synthsae.sae.code import ByLatent, Code

ROW = 32768
"""Pre-activations of one row that registers can hold; longer rows are read again at each step."""
LONGEST = 65536
"""Pre-activations of one row that `top` takes."""
ENTRIES = 1024
"""Entries of one sample that `residual` and `inner_products` take: a tile holds K rows."""
WINDOW = 256
"""Entries of a latent that one program sums; longer lists are summed by several."""


def top(pre: Tensor, k: int) -> Code:
    """relu of the k largest of each row of `pre` [S, B, M], indices ascending.

    `pre` is float32 or bfloat16, M is LONGEST at most, values are float32. Of equal entries the
    first are taken, NaN counts as the largest. Two kernels, one marks and one collects. Traffic:
    S B (M P + M / 2 + 12 k), while M <= ROW.
    """
    s, b, m = pre.shape
    _check(pre)
    assert 0 < k <= m <= LONGEST
    assert pre.dtype in (torch.float32, torch.bfloat16)
    values = torch.empty(s, b, k, device=pre.device)
    indices = torch.empty(s, b, k, device=pre.device, dtype=torch.int64)
    block, groups = max(16, min(_power(m), ROW)), _power(k)
    shift, bits = (16, torch.int16) if pre.dtype == torch.bfloat16 else (0, torch.int32)
    marks = torch.empty(s, b, -(-m // 16), device=pre.device, dtype=torch.int32)
    compiled.mark[(s * b,)](
        pre.view(bits), marks, m, k, SHIFT=shift, BLOCK=block, CHUNKS=-(-m // block),
        GROUPS=groups if groups <= block else 0, num_warps=min(max(block // 1024, 1), 32),
    )  # fmt: skip
    words = _power(marks.shape[2])
    compiled.collect[(s * b,)](
        pre.view(bits), marks, values, indices, m, k,
        SHIFT=shift, WORDS=words, num_warps=min(max(words // 256, 1), 8),
    )  # fmt: skip
    return Code(values, indices)


def residual(code: Code, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """What decoding misses, [S, B, D], and its inner products with the rows used, [S, B, K].

        miss = sum_k values_k weight[indices_k] - x,    dots_k = <miss, weight[indices_k]>

    `weight` [S, M, D] and `x` [S, B, D] are float32 or bfloat16, K is ENTRIES at most. Sums are
    float32; `miss` is stored in the type of `x`. Traffic: S B (K D W + 2 D X + 16 K), of which the
    K D W are gathers that the cache serves where a seed's M D W bytes fit it.
    """
    s, b, d = x.shape
    m, k = weight.shape[1], code.values.shape[2]
    _check(*code, weight, x)
    assert code.values.dtype == torch.float32
    miss, dots = torch.empty_like(x), torch.empty_like(code.values)
    compiled.residual[(s * b,)](*code, weight, x, miss, dots, b, m, d, k, **_tile(k, d))
    return miss, dots


def inner_products(x: Tensor, weight: Tensor, indices: Tensor) -> Tensor:
    """<x_b, weight[indices_k]> in float32, [S, B, K]; types, K and traffic as of `residual`."""
    (s, b, k), (m, d) = indices.shape, weight.shape[1:]
    _check(x, weight, indices)
    dots = torch.empty(s, b, k, device=x.device)
    compiled.inner_products[(s * b,)](indices, weight, x, dots, b, m, d, k, **_tile(k, d))
    return dots


def weight_gradients(
    order: ByLatent, values: Tensor, g_values: Tensor, miss: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Both weight gradients, each [S, M, D] float32: sums over the entries e of each latent j.

        g_dec[s, j] = sum_e values_e miss[b_e],    g_enc[s, j] = sum_e g_values_e x[b_e]

    `values` and `g_values` [S, B, K] are float32, `miss` and `x` [S, B, D] float32 or bfloat16. A
    program owns a latent. So that a latent which fires on nearly all samples does not hold up the
    others, a seed's sorted entries are also cut into windows of WINDOW entries; a window that lies
    wholly in one latent has a program of its own, and the latent adds the windows' sums. Nobody
    sums more than 2 WINDOW entries or B / WINDOW windows. Traffic: S B K (2 D X + 48) of gathers
    that the cache serves where S B D X bytes fit it, and 8 S M D written.
    """
    (s, b, k), d = values.shape, x.shape[2]
    m = (len(order.start) - 1) // s
    _check(*order, values, g_values, miss, x)
    assert values.dtype == g_values.dtype == torch.float32
    assert miss.shape == x.shape == (s, b, d)
    g_dec, g_enc = (torch.empty(s, m, d, device=x.device) for _ in range(2))
    n = b * k // WINDOW
    partial = torch.empty(max(s * n, 1), 2, d, device=x.device)
    bd = min(_power(d), 256)
    size = {"WIDTH": WINDOW, "ROWS": 16, "BD": bd, "num_warps": _warps(2 * 16 * bd)}
    blocks = -(-d // bd)
    if n > 0:
        first = torch.arange(s, device=x.device)[:, None] * (b * k)
        first = first + torch.arange(0, n * WINDOW, WINDOW, device=x.device)
        owner = torch.searchsorted(order.start, first.ravel(), right=True) - 1
        compiled.window_sums[(s * n, blocks)](
            order.start, owner, order.sample, order.entry, values, g_values, miss, x, partial,
            b * k, n, d, **size,
        )  # fmt: skip
    compiled.latent_sums[(s * m, blocks)](
        *order, values, g_values, miss, x, partial, g_dec, g_enc, b * k, n, m, d, **size
    )
    return g_dec, g_enc


def _power(n: int) -> int:
    """The least power of 2 that is not below n."""
    return 1 << (n - 1).bit_length()


def _tile(k: int, d: int) -> dict[str, int]:
    """K rows and some columns of them in registers, and the warps that hold them."""
    assert k <= ENTRIES
    kp = _power(k)
    bd = min(_power(d), max(32, min(256, 8192 // kp)))
    return {"KP": kp, "BD": bd, "num_warps": _warps(kp * bd)}


def _warps(n: int) -> int:
    """Warps for a tile of n float32: 64 registers a thread, as a power of 2."""
    return min(max(n // 2048, 1), 16)


def _check(*tensors: Tensor | None) -> None:
    """All tensors are contiguous and on one device."""
    (first, *_) = tensors
    for t in tensors:
        assert t is not None and first is not None  # noqa: PT018
        assert t.is_contiguous() and t.device == first.device  # noqa: PT018
