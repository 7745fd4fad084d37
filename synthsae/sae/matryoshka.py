"""Matryoshka SAEs: dictionaries within dictionaries (Bussmann et al. 2025, arXiv 2503.17547)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthsae.checks import typed, within
from synthsae.sae.base import ARCHITECTURES, SAEConfig
from synthsae.sae.code import Code
from synthsae.sae.nested import Nested

PREFIXES = 5
"""Default number of nested dictionaries."""


@dataclass(frozen=True)
class MatryoshkaOptions:
    """The options of Matryoshka."""

    prefixes: int | None = field(
        default=None,
        metadata={"help": "nested dictionaries, each half as large as the next (none: 5)"},
    )

    def __post_init__(self) -> None:
        typed("sae.options.", self)
        within("sae.options.prefixes", self.prefixes, 1)


class Matryoshka(Nested):
    """TopK whose first latents also have to reconstruct without the later ones.

        z       = relu(TopK(W_enc (x - b_dec) + b_enc)), one code for all prefixes
        x_hat_p = b_dec + sum of z_j w_dec_j over the latents j < M_p

    for M_1 < ... < M_P = M, each half as large as the next. Loss of one SAE: mean over p = 1..P of
    sum ||x - x_hat_p||^2 / sum ||x - mean x||^2 over the batch, plus AuxK on x - x_hat_P. The paper
    sums over p and chooses latents by BatchTopK; here at most k latents fire on every sample.
    """

    label, saelens, poolable, row_products = "Matryoshka", "topk", False, 6
    Options = MatryoshkaOptions

    def __init__(self, config: SAEConfig):
        super().__init__(config)
        n = self.options.prefixes or PREFIXES
        # one latent cannot be halved, which limits the number of prefixes
        self.prefixes = sorted(config.size >> i for i in range(min(n, config.size.bit_length())))

    def truncations(self, code: Code) -> tuple[Code, Tensor]:
        """Entries sorted by latent; a weight counts the prefixes that end after t entries."""
        assert code.indices is not None
        indices, place = code.indices.sort(dim=2)
        s, b, k = indices.shape
        halvings = torch.arange(len(self.prefixes), device=indices.device).flip(0)
        ends = (self.config.size >> halvings).expand(s, b, -1).contiguous()
        n_terms = torch.searchsorted(indices, ends)  # number of entries in each prefix, [S, B, P]
        weights = code.values.new_zeros(s, b, k + 1)
        each = weights.new_full((), 1 / ends.shape[2]).expand(s, b, 1)
        for terms in n_terms.split(1, dim=2):  # one at a time, so that the order of sums is fixed
            weights.scatter_add_(2, terms, each)
        return Code(code.values.gather(2, place), indices), weights


ARCHITECTURES["matryoshka"] = Matryoshka
