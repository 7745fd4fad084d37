"""Linear algebra of codes whose samples have different numbers of entries, as in BatchTopK.

Each SAE has N entries on a batch of B samples, sorted by sample. The functions replace those of the
same name in `kernels`. The functions of `kernels` that take only values and their order by latent
work for such codes, too.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from synthsae.sae.kernels import ByLatent, sort_by_key


class Ragged(NamedTuple):
    """A sparse code of N entries for each SAE. A value of 0 does not fire.

    Attributes:
        values: activations, 0 or more, [S, N].
        latent: the latent of each entry, without repetition in a sample, [S, N].
        sample: the sample of each entry, ascending, [S, N].
        n_samples: number of samples B.
    """

    values: Tensor
    latent: Tensor
    sample: Tensor
    n_samples: int

    def dense(self, m: int) -> Tensor:
        """The values of all `m` latents, [S, B, M]."""
        s, b = len(self.values), self.n_samples
        zeros = self.values.new_zeros(s, b * m)
        return zeros.scatter_(1, self.sample * m + self.latent, self.values).view(s, b, m)


def decode(code: Ragged, weight: Tensor) -> Tensor:
    """sum over the entries of a sample of value * weight[latent], [S, B, D]."""
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
    """<x_b, weight[latent]> for the entries of the code, [S, N]: the adjoint of `decode`."""
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
    """decode(code) - x, [S, B, D], and its inner products with the entries' rows, [S, N]."""
    miss = decode(code, weight).sub_(x)
    return miss, inner_products(miss, weight, code)


def by_latent(code: Ragged, m: int) -> ByLatent:
    """The entries of a code sorted by latent, then by sample; `m` is the number of latents."""
    start, entry = sort_by_key(_flat(code.latent, m), len(code.values) * m)
    return ByLatent(start, _flat(code.sample, code.n_samples)[entry], entry)


def _starts(code: Ragged) -> Tensor:
    """Position at which the entries of each sample start, [S * B + 1]."""
    n = len(code.values) * code.n_samples
    start = torch.zeros(n + 1, dtype=torch.long, device=code.values.device)
    counts = torch.bincount(_flat(code.sample, code.n_samples), minlength=n)
    torch.cumsum(counts, 0, out=start[1:])
    return start


def _flat(indices: Tensor, n: int) -> Tensor:
    """`indices` [S, N] below `n` of each SAE, as indices into all S n, [S * N]."""
    offset = torch.arange(0, len(indices) * n, n, device=indices.device)
    return (indices + offset[:, None]).ravel()
