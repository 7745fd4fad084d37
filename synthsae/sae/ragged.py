"""Linear algebra of codes whose samples have different numbers of entries.

Each SAE has N entries in all on a batch of B samples, sorted by sample. The functions are those of
`kernels` for such a code; those of `kernels` that take values take its values as they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from synthsae.sae.kernels import ByLatent, sort_by_key


class Ragged(NamedTuple):
    """A sparse code of N entries for each SAE; a value of 0 is a latent that does not fire."""

    values: Tensor  # [S, N], not negative
    latent: Tensor  # [S, N], distinct within a sample
    sample: Tensor  # [S, N], ascending
    n_samples: int  # B

    def dense(self, m: int) -> Tensor:
        """The values of all `m` latents, [S, B, M]."""
        s, b = len(self.values), self.n_samples
        zeros = self.values.new_zeros(s, b * m)
        return zeros.scatter_(1, self.sample * m + self.latent, self.values).view(s, b, m)


def decode(code: Ragged, weight: Tensor) -> Tensor:
    """sum over a sample's entries of value * weight[latent], [S, B, D]."""
    s, m, d = weight.shape
    out = embedding_bag(
        _flat(code.latent, m),
        weight.view(s * m, d),
        _starts(code)[:-1],
        mode="sum",
        per_sample_weights=code.values.ravel(),
    )
    return out.view(s, -1, d)


def inner_products(x: Tensor, weight: Tensor, code: Ragged) -> Tensor:
    """<x_b, weight[latent]> for the code's entries alone, [S, N]: decode's adjoint."""
    s, m, d = weight.shape
    rows = s * code.n_samples
    pattern = torch.sparse_csr_tensor(
        _starts(code),
        _flat(code.latent, m),
        torch.zeros_like(code.values).ravel(),
        (rows, s * m),
        check_invariants=False,
    )
    found = torch.sparse.sampled_addmm(
        pattern, x.reshape(rows, d), weight.view(s * m, d).T, beta=0.0
    )
    return found.values().view(code.values.shape)


def residual(code: Ragged, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """What decoding misses, decode - x [S, B, D], and its inner products with the rows used."""
    miss = decode(code, weight).sub_(x)
    return miss, inner_products(miss, weight, code)


def by_latent(code: Ragged, m: int) -> ByLatent:
    """Sort a code's entries by latent, in order of samples."""
    start, entry = sort_by_key(_flat(code.latent, m), len(code.values) * m)
    return ByLatent(start, _flat(code.sample, code.n_samples)[entry], entry)


def _starts(code: Ragged) -> Tensor:
    """Where each sample's entries start, [S * B + 1]."""
    n = len(code.values) * code.n_samples
    start = torch.zeros(n + 1, dtype=torch.long, device=code.values.device)
    counts = torch.bincount(_flat(code.sample, code.n_samples), minlength=n)
    torch.cumsum(counts, 0, out=start[1:])
    return start


def _flat(indices: Tensor, n: int) -> Tensor:
    """Indices [S, N] below `n` of each SAE as indices into the whole stack, [S * N]."""
    offset = torch.arange(0, len(indices) * n, n, device=indices.device)
    return (indices + offset[:, None]).ravel()
