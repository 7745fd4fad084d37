"""Sparse linear algebra on stacks: what a sparse code costs, and no more.

A sparse code of S SAEs on B samples is `values` [S, B, K] with `indices` [S, B, K] into the M
latents of its own SAE. Weights are stacked rows [S, M, D]. Seeds never mix: every output row is
computed from one seed's inputs alone, in an order that does not depend on the other seeds.
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class Code(NamedTuple):
    """A sparse code: K latents a sample; a value of 0 is a latent that does not fire."""

    values: Tensor  # [S, B, K], not negative
    indices: Tensor  # [S, B, K], distinct within a sample


class ByLatent(NamedTuple):
    """A code's entries sorted by latent: its transpose in compressed form."""

    start: Tensor  # [S * M + 1], where each latent's entries start
    sample: Tensor  # [S * B * K], the row in [S * B] of each entry
    entry: Tensor  # [S * B * K], its place in the code


def decode(code: Code, weight: Tensor) -> Tensor:
    """sum_k values_k weight[indices_k], [S, B, D]."""
    s, b, k = code.indices.shape
    out = embedding_bag(
        _flat_indices(code, weight.shape[1]),
        weight.view(-1, weight.shape[2]),
        mode="sum",
        per_sample_weights=code.values.reshape(s * b, k),
    )
    return out.view(s, b, -1)


def inner_products(x: Tensor, weight: Tensor, code: Code) -> Tensor:
    """<x_b, weight[indices_k]> for the code's entries alone, [S, B, K]: decode's adjoint."""
    s, b, k = code.indices.shape
    m, d = weight.shape[1:]
    column = _flat_indices(code, m).ravel()
    row = torch.arange(0, s * b * k + 1, k, device=x.device)
    pattern = torch.sparse_csr_tensor(
        row, column, torch.zeros_like(code.values).ravel(), (s * b, s * m), check_invariants=False
    )
    found = torch.sparse.sampled_addmm(
        pattern, x.reshape(s * b, d), weight.view(s * m, d).T, beta=0.0
    )
    return found.values().view(s, b, k)


def by_latent(code: Code, m: int) -> ByLatent:
    """Sort a code's entries by latent, samples in order within a latent."""
    s, _, k = code.indices.shape
    key, entry = _flat_indices(code, m).ravel().sort(stable=True)
    start = torch.searchsorted(key, torch.arange(s * m + 1, device=key.device))
    return ByLatent(start, entry // k, entry)


def transpose_decode(values: Tensor, order: ByLatent, x: Tensor) -> Tensor:
    """out[s, j] = sum of values_e x[s, b_e] over the entries e of latent j, [S, M, D].

    The gradient of `decode` in its weight, where `x` is the gradient of its output.
    """
    s = x.shape[0]
    out = embedding_bag(
        order.sample,
        x.reshape(-1, x.shape[2]),
        order.start[:-1],
        mode="sum",
        per_sample_weights=values.ravel()[order.entry],
    )
    return out.view(s, -1, x.shape[2])


def latent_reduce(values: Tensor, order: ByLatent, how: str) -> Tensor:
    """Sum or maximum of the entries of each latent, [S, M]; a latent with no entry gets 0."""
    sorted_values = values.ravel()[order.entry]
    out = torch.segment_reduce(sorted_values, how, offsets=order.start, initial=0.0)
    return out.view(values.shape[0], -1)


def reciprocal(x: Tensor) -> Tensor:
    """1 / x, and 0 where x is 0."""
    return torch.where(x > 0, 1 / x, torch.zeros_like(x))


def _flat_indices(code: Code, m: int) -> Tensor:
    """Indices into the S * M latents of the whole stack, [S * B, K]."""
    s, b, k = code.indices.shape
    offset = torch.arange(0, s * m, m, device=code.indices.device)
    return (code.indices + offset[:, None, None]).view(s * b, k)
