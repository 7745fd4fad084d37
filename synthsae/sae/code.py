"""Sparse codes of a stack, and their transpose."""

from typing import NamedTuple

from torch import Tensor


class Code(NamedTuple):
    """A sparse code: K latents a sample; a value of 0 is a latent that does not fire."""

    values: Tensor  # [S, B, K], not negative
    indices: Tensor | None  # [S, B, K], distinct within a sample; None: all M latents in order

    def dense(self, m: int) -> Tensor:
        """The values of all `m` latents, [S, B, M]."""
        if self.indices is None:
            return self.values
        zeros = self.values.new_zeros(*self.values.shape[:2], m)
        return zeros.scatter_(2, self.indices, self.values)


class ByLatent(NamedTuple):
    """A code's entries sorted by latent: its transpose in compressed form."""

    start: Tensor  # [S * M + 1], where each latent's entries start
    sample: Tensor  # [S * B * K], the row in [S * B] of each entry
    entry: Tensor  # [S * B * K], its place in the code
