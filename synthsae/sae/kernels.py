"""Linear algebra of sparse codes on stacks, at a cost proportional to the number of entries.

A code of S SAEs on B samples has `values` [S, B, K] and `indices` [S, B, K] into the M latents of
each SAE. Weights are rows [S, M, D]. For small SAEs a dense code is cheaper, with all M latents in
order and no indices; every function takes both. Seeds never mix: each output row depends on the
inputs of one seed alone, and so does the order of its sums.
"""

import warnings
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from synthsae.gpu import falling_back, usable
from synthsae.sae.code import ByLatent, Code
from synthsae.sae.select import largest

for message in ("Sparse CSR tensor support is in beta", "Sparse invariant checks are implicitly"):
    warnings.filterwarnings("ignore", message=message)

DENSE_BELOW = 500
"""Largest M D / K for which a dense matrix product is cheaper than to gather rows."""


def top(pre: Tensor, k: int) -> Code:
    """The code of relu of the k largest entries of each row of `pre`, K = k.

    Args:
        pre: pre-activations in float32 or bfloat16, [S, B, M].
        k: number of entries of a sample.
    """
    if (cuda := _cuda(pre, "top")) and pre.shape[2] <= cuda.MAX_LATENTS:
        with falling_back("sae.top", pre):
            return cuda.top(pre.contiguous(), k)
    values, indices = largest(pre, k)
    return Code(values.relu_(), indices)


def dense_if_cheaper(code: Code, weight: Tensor) -> Code:
    """`code`, as a dense code if products with `weight` [S, M, D] are then cheaper."""
    _, m, d = weight.shape
    return Code(code.dense(m), None) if m * d <= DENSE_BELOW * code.values.shape[2] else code


def decode(code: Code, weight: Tensor) -> Tensor:
    """sum_k values_k weight[indices_k], [S, B, D], for `weight` [S, M, D]."""
    if code.indices is None:
        return code.values @ weight
    s, b, k = code.indices.shape
    out = embedding_bag(
        _flat(code.indices, weight.shape[1]),
        weight.view(-1, weight.shape[2]),
        mode="sum",
        per_sample_weights=code.values.reshape(s * b, k),
    )
    return out.view(s, b, -1)


def rows(weight: Tensor, latent: Tensor) -> Tensor:
    """weight[s, latent[s, b]], [S, B, D], of `weight` [S, M, D] and one latent a sample [S, B]."""
    flat = _flat(latent[:, :, None], weight.shape[1]).ravel()
    return weight.view(-1, weight.shape[2]).index_select(0, flat).view(*latent.shape, -1)


def inner_products(x: Tensor, weight: Tensor, code: Code) -> Tensor:
    """<x_b, weight[indices_k]> for the entries of the code, [S, B, K]: the adjoint of `decode`.

    Args:
        x: vectors, [S, B, D].
        weight: rows of latents, [S, M, D].
        code: the code; its values are not used.
    """
    if code.indices is None:
        return x @ weight.mT
    if cuda := _tiled(x, code, "inner_products"):
        with falling_back("sae.inner_products", x):
            return cuda.inner_products(x.contiguous(), weight, code.indices)
    s, b, k = code.indices.shape
    m, d = weight.shape[1:]
    column = _flat(code.indices, m).ravel()
    row = torch.arange(0, s * b * k + 1, k, device=x.device)
    pattern = torch.sparse_csr_tensor(
        row, column, torch.zeros_like(code.values).ravel(), (s * b, s * m), check_invariants=False
    )
    found = torch.sparse.sampled_addmm(
        pattern, x.reshape(s * b, d), weight.view(s * m, d).T, beta=0.0
    )
    return found.values().view(s, b, k)


def residual(code: Code, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """decode(code) - x, [S, B, D], and its inner products with the entries' rows, [S, B, K]."""
    if code.indices is not None and (cuda := _tiled(x, code, "residual")):
        with falling_back("sae.residual", x):
            return cuda.residual(code, weight, x.contiguous())
    miss = decode(code, weight).sub_(x)
    return miss, inner_products(miss, weight, code)


def by_latent(code: Code, m: int) -> ByLatent | None:
    """The entries of a code sorted by latent, then by sample; None for a dense code.

    `m` is the number of latents M.
    """
    if code.indices is None:
        return None
    s, _, k = code.indices.shape
    start, entry = sort_by_key(_flat(code.indices, m).ravel(), s * m)
    return ByLatent(start, entry // k, entry)


def sort_by_key(key: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Where each key 0..n-1 starts in the stable order of `key`, [n + 1], and that order."""
    if not key.is_cuda:
        # NumPy uses a radix sort for 16-bit keys, which takes a third of PyTorch's time
        small = key.numpy().astype(np.uint16 if n <= 2**16 else np.int64)
        entry = torch.from_numpy(np.argsort(small, kind="stable"))
        start = torch.zeros(n + 1, dtype=torch.long)
        torch.cumsum(torch.bincount(key, minlength=n), 0, out=start[1:])
    else:
        ordered, entry = key.sort(stable=True)
        start = torch.searchsorted(ordered, torch.arange(n + 1, device=key.device))
    return start, entry


def transpose_decode(values: Tensor, order: ByLatent | None, x: Tensor) -> Tensor:
    """sum of values_e x[s, b_e] over the entries e of each latent j of SAE s, [S, M, D].

    It is the gradient of `decode` with respect to its weight, if `x` is that of its output.

    Args:
        values: one number for each entry of the code, [S, B, K].
        order: the entries sorted by latent; None for a dense code.
        x: vectors, [S, B, D].
    """
    if order is None:
        return values.mT @ x
    s = x.shape[0]
    out = embedding_bag(
        order.sample,
        x.reshape(-1, x.shape[2]),
        order.start[:-1],
        mode="sum",
        per_sample_weights=values.ravel()[order.entry],
    )
    return out.view(s, -1, x.shape[2])


def weight_gradients(
    order: ByLatent | None, values: Tensor, g_values: Tensor, miss: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums over the entries e of each latent, values_e miss[b_e] and g_values_e x[b_e]: [S, M, D].

    The gradients of the decoder and of the encoder.
    """
    if order is not None and values.ndim == 3 and (cuda := _cuda(x, "weight_gradients")):
        with falling_back("sae.weight_gradients", x):
            return cuda.weight_gradients(order, values, g_values, miss, x.contiguous())
    return transpose_decode(values, order, miss), transpose_decode(g_values, order, x)


def latent_sum(values: Tensor, order: ByLatent | None) -> Tensor:
    """Sum of the values [S, B, K] of each latent over the batch, [S, M]."""
    return values.sum(1) if order is None else _segments(values, order, "sum")


def latent_max(values: Tensor, order: ByLatent | None) -> Tensor:
    """Maximum of the values [S, B, K], 0 or more, of each latent over the batch, [S, M]."""
    return values.amax(1) if order is None else _segments(values, order, "max")


def reciprocal(x: Tensor) -> Tensor:
    """1 / x for x >= 0, elementwise, and 0 where x is 0."""
    return torch.where(x > 0, 1 / x, torch.zeros_like(x))


def inverse_scatter(x: Tensor) -> Tensor:
    """1 / sum ||x - mean x||^2 over the batch of each SAE, [S]; 0 if all samples are equal."""
    spread = torch.linalg.vector_norm(x - x.mean(1, keepdim=True), dim=(1, 2))
    return reciprocal(spread**2)


def firing_counts(code: Code, m: int) -> Tensor:
    """Number of samples on which each of the `m` latents fires, [S, M]."""
    on, s = code.values > 0, len(code.values)
    if code.indices is None:
        return on.sum(1)
    latent = _flat(code.indices, m).view_as(on)[on]
    return torch.bincount(latent, minlength=s * m).view(s, m)


def _cuda(x: Tensor, kernel: str) -> ModuleType | None:
    """The module of Triton kernels if `kernel` can be used on `x`, else None."""
    if usable(f"sae.{kernel}", x):
        from synthsae.sae import cuda

        return cuda
    return None


def _tiled(x: Tensor, code: Code, kernel: str) -> ModuleType | None:
    """The module of Triton kernels if `kernel` can also hold the entries of a sample, else None."""
    cuda = _cuda(x, kernel)
    return cuda if cuda and code.values.shape[2] <= cuda.MAX_ENTRIES else None


def _segments(values: Tensor, order: ByLatent, how: str) -> Tensor:
    """The "sum" or "max" of the values of each latent, [S, M]."""
    sorted_values = values.ravel()[order.entry]
    out = torch.segment_reduce(sorted_values, how, offsets=order.start, initial=0.0, unsafe=True)
    return out.view(values.shape[0], -1)


def _flat(indices: Tensor, m: int) -> Tensor:
    """`indices` [S, B, K] into the M latents of each SAE, as indices into all S M, [S * B, K]."""
    s, b, k = indices.shape
    if s == 1:
        return indices.reshape(b, k)
    offset = torch.arange(0, s * m, m, device=indices.device)
    return (indices + offset[:, None, None]).view(s * b, k)
