"""Linear algebra of sparse codes on stacks: what the entries cost, and no more.

A code of S SAEs on B samples is `values` [S, B, K] with `indices` [S, B, K] into the M latents of
its own SAE. Weights are stacked rows [S, M, D]. A small code costs less as a dense one, with all M
latents in order and no indices; every function takes both. Seeds never mix: every output row is
computed from one seed's inputs alone, in an order that does not depend on the other seeds.
"""

import warnings
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from synthsae.gpu import on_triton
from synthsae.sae.code import ByLatent, Code
from synthsae.sae.select import largest

for said in ("Sparse CSR tensor support is in beta", "Sparse invariant checks are implicitly"):
    warnings.filterwarnings("ignore", message=said)


DENSE_BELOW = 500
"""A matrix product with M x D weights costs less than an entry's gather, for M D / K up to this."""


def top(pre: Tensor, k: int) -> Code:
    """relu of the k largest of each row of `pre` [S, B, M], float32 or bfloat16."""
    if (cuda := _cuda(pre)) and pre.shape[2] <= cuda.LONGEST:
        return cuda.top(pre.contiguous(), k)
    values, indices = largest(pre, k)
    return Code(values.relu_(), indices)


def cheapest(code: Code, weight: Tensor) -> Code:
    """The code, dense where that costs less with `weight` [S, M, D]."""
    _, m, d = weight.shape
    return Code(code.dense(m), None) if m * d <= DENSE_BELOW * code.values.shape[2] else code


def decode(code: Code, weight: Tensor) -> Tensor:
    """sum_k values_k weight[indices_k], [S, B, D]."""
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
    """weight[s, latent[s, b]] of `weight` [S, M, D] for one latent [S, B] a sample, [S, B, D]."""
    flat = _flat(latent[:, :, None], weight.shape[1]).ravel()
    return weight.view(-1, weight.shape[2]).index_select(0, flat).view(*latent.shape, -1)


def inner_products(x: Tensor, weight: Tensor, code: Code) -> Tensor:
    """<x_b, weight[indices_k]> for the code's entries alone, [S, B, K]: decode's adjoint."""
    if code.indices is None:
        return x @ weight.mT
    if cuda := _tiled(x, code):
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
    """What decoding misses, decode - x [S, B, D], and its inner products with the rows used."""
    if code.indices is not None and (cuda := _tiled(x, code)):
        return cuda.residual(code, weight, x.contiguous())
    miss = decode(code, weight).sub_(x)
    return miss, inner_products(miss, weight, code)


def by_latent(code: Code, m: int) -> ByLatent | None:
    """Sort a code's entries by latent, in order of samples; None for a dense code."""
    if code.indices is None:
        return None
    s, _, k = code.indices.shape
    start, entry = sort_by_key(_flat(code.indices, m).ravel(), s * m)
    return ByLatent(start, entry // k, entry)


def sort_by_key(key: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Where each of the keys 0..n-1 starts in the stable order of `key`, [n + 1]; that order."""
    if not key.is_cuda:
        # NumPy sorts 16-bit keys by radix, in a third of torch's time
        small = key.numpy().astype(np.uint16 if n <= 2**16 else np.int64)
        entry = torch.from_numpy(np.argsort(small, kind="stable"))
        start = torch.zeros(n + 1, dtype=torch.long)
        torch.cumsum(torch.bincount(key, minlength=n), 0, out=start[1:])
    else:
        ordered, entry = key.sort(stable=True)
        start = torch.searchsorted(ordered, torch.arange(n + 1, device=key.device))
    return start, entry


def transpose_decode(values: Tensor, order: ByLatent | None, x: Tensor) -> Tensor:
    """out[s, j] = sum of values_e x[s, b_e] over the entries e of latent j, [S, M, D].

    The gradient of `decode` in its weight, where `x` is the gradient of its output.
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
    if order is not None and values.ndim == 3 and (cuda := _cuda(x)):
        return cuda.weight_gradients(order, values, g_values, miss, x.contiguous())
    return transpose_decode(values, order, miss), transpose_decode(g_values, order, x)


def latent_sum(values: Tensor, order: ByLatent | None) -> Tensor:
    """Sum of the entries of each latent, [S, M]."""
    return values.sum(1) if order is None else _segments(values, order, "sum")


def latent_max(values: Tensor, order: ByLatent | None) -> Tensor:
    """Maximum of the entries of each latent, which are not negative, [S, M]; 0 for no entry."""
    return values.amax(1) if order is None else _segments(values, order, "max")


def reciprocal(x: Tensor) -> Tensor:
    """1 / x, and 0 where x is 0."""
    return torch.where(x > 0, 1 / x, torch.zeros_like(x))


def inverse_scatter(x: Tensor) -> Tensor:
    """1 / sum ||x - mean x||^2 over the batch of each SAE, [S]; 0 where all are equal."""
    spread = torch.linalg.vector_norm(x - x.mean(1, keepdim=True), dim=(1, 2))
    return reciprocal(spread**2)


def firing_counts(code: Code, m: int) -> Tensor:
    """Samples on which each latent fires, [S, M]."""
    on, s = code.values > 0, len(code.values)
    if code.indices is None:
        return on.sum(1)
    latent = _flat(code.indices, m).view_as(on)[on]
    return torch.bincount(latent, minlength=s * m).view(s, m)


def _cuda(x: Tensor) -> ModuleType | None:
    """The Triton kernels where `x` is on a GPU that has them."""
    if on_triton(x):
        from synthsae.sae import cuda

        return cuda
    return None


def _tiled(x: Tensor, code: Code) -> ModuleType | None:
    """The Triton kernels where they also have room for the entries of a sample."""
    cuda = _cuda(x)
    return cuda if cuda and code.values.shape[2] <= cuda.ENTRIES else None


def _segments(values: Tensor, order: ByLatent, how: str) -> Tensor:
    sorted_values = values.ravel()[order.entry]
    out = torch.segment_reduce(sorted_values, how, offsets=order.start, initial=0.0, unsafe=True)
    return out.view(values.shape[0], -1)


def _flat(indices: Tensor, m: int) -> Tensor:
    """Indices into the S * M latents of the whole stack, [S * B, K]."""
    s, b, k = indices.shape
    if s == 1:
        return indices.reshape(b, k)
    offset = torch.arange(0, s * m, m, device=indices.device)
    return (indices + offset[:, None, None]).view(s * b, k)
