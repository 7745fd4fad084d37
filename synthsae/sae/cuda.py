"""Sparse operations of a TopK SAE as Triton kernels; `kernels.py` has the same in PyTorch.

The module needs Triton, which only CUDA builds of PyTorch install, and is imported only on a GPU.
All tensors are contiguous, with the seed axis first. Seeds are never mixed, and the order of every
sum depends on its own seed alone. There are no atomic operations, so that the same input gives the
same bits. No function waits for the device, so that a CUDA graph can record them.

*Traffic* is the number of bytes that are read and written, if each is moved once. P, W and X are
the bytes of one number of `pre`, `weight` and `x`.
"""

import torch
from torch import Tensor

from synthsae.sae import cuda_kernels as compiled
from synthsae.sae.code import ByLatent, Code

ROW = 32768
"""Pre-activations of a row that fit into registers; `top` reads longer rows again at each step."""
MAX_LATENTS = 65536
"""Largest number of latents M that `top` takes."""
MAX_ENTRIES = 1024
"""Largest number of entries K that `residual` and `inner_products` take: a tile holds K rows."""
WINDOW = 256
"""Entries of a latent that one program sums; longer lists are summed by several programs."""


def top(pre: Tensor, k: int) -> Code:
    """The code of relu of the k largest entries of each row of `pre`, with indices ascending.

    Among equal entries the first are chosen, and NaN counts as the largest. Values are float32. The
    kernel `mark` marks the entries, and `collect` writes them. Traffic: S B (M P + M / 2 + 12 k)
    for M <= ROW.

    Args:
        pre: pre-activations in float32 or bfloat16, [S, B, M], M <= MAX_LATENTS.
        k: number of entries of a sample.
    """
    s, b, m = pre.shape
    _check(pre)
    assert 0 < k <= m <= MAX_LATENTS
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
    """x_hat - x, [S, B, D], and its inner products with the entries' rows, [S, B, K].

        miss = sum_k values_k weight[indices_k] - x,    dots_k = <miss, weight[indices_k]>

    Sums are float32; `miss` has the type of `x`. Traffic: S B (K D W + 2 D X + 16 K). The K D W are
    reads of decoder rows, which come from the cache if the M D W bytes of one seed fit into it.

    Args:
        code: a code with float32 values and with indices, K <= MAX_ENTRIES.
        weight: decoder rows in float32 or bfloat16, [S, M, D].
        x: vectors in float32 or bfloat16, [S, B, D].
    """
    s, b, d = x.shape
    m, k = weight.shape[1], code.values.shape[2]
    _check(*code, weight, x)
    assert code.values.dtype == torch.float32
    miss, dots = torch.empty_like(x), torch.empty_like(code.values)
    compiled.residual[(s * b,)](*code, weight, x, miss, dots, b, m, d, k, **_tile(k, d))
    return miss, dots


def inner_products(x: Tensor, weight: Tensor, indices: Tensor) -> Tensor:
    """<x_b, weight[indices_k]> in float32, [S, B, K]. Arguments and traffic as of `residual`."""
    (s, b, k), (m, d) = indices.shape, weight.shape[1:]
    _check(x, weight, indices)
    dots = torch.empty(s, b, k, device=x.device)
    compiled.inner_products[(s * b,)](indices, weight, x, dots, b, m, d, k, **_tile(k, d))
    return dots


def weight_gradients(
    order: ByLatent, values: Tensor, g_values: Tensor, miss: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the decoder and encoder rows, [S, M, D] float32 each.

    They are sums over the entries e of each latent j, where b_e is the sample of entry e:

        g_dec[s, j] = sum_e values_e miss[b_e],    g_enc[s, j] = sum_e g_values_e x[b_e]

    Each latent has one program. A latent that fires on nearly all samples would delay the others,
    so the sorted entries of a seed are also divided into windows of WINDOW entries. A window whose
    entries all belong to one latent is summed by a program of its own, and the latent's program
    adds the sums of its windows. No program sums more than 2 WINDOW entries or B / WINDOW windows.

    Traffic: S B K (2 D X + 48) read, from the cache if S B D X bytes fit into it, and 8 S M D
    written.

    Args:
        order: the entries of the code sorted by latent.
        values: factor of `miss` for each entry, float32 [S, B, K].
        g_values: factor of `x` for each entry, float32 [S, B, K].
        miss: x_hat - x, float32 or bfloat16 [S, B, D].
        x: input of the encoder, of the type of `miss`, [S, B, D].
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
    """The smallest power of 2 that is at least n."""
    return 1 << (n - 1).bit_length()


def _tile(k: int, d: int) -> dict[str, int]:
    """The size of a tile in registers, K rows with some of their columns, and its warps."""
    assert k <= MAX_ENTRIES
    kp = _power(k)
    bd = min(_power(d), max(32, min(256, 8192 // kp)))
    return {"KP": kp, "BD": bd, "num_warps": _warps(kp * bd)}


def _warps(n: int) -> int:
    """Number of warps for a tile of n float32, a power of 2: 64 registers in each thread."""
    return min(max(n // 2048, 1), 16)


def _check(*tensors: Tensor | None) -> None:
    """Assert that all tensors are contiguous and on one device."""
    (first, *_) = tensors
    for t in tensors:
        assert t is not None and first is not None  # noqa: PT018
        assert t.is_contiguous() and t.device == first.device  # noqa: PT018
