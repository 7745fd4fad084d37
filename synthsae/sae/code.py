"""The sparse code of a batch, and the same code sorted by latent."""

from typing import NamedTuple

from torch import Tensor


class Code(NamedTuple):
    """A sparse code: K latents of each sample and their values.

    A latent whose value is 0 does not fire.
    """

    values: Tensor  # [S, B, K], 0 or more
    indices: Tensor | None  # [S, B, K], each latent once a sample; None: all M in order

    def dense(self, m: int) -> Tensor:
        """The values of all `m` latents, [S, B, M]."""
        if self.indices is None:
            return self.values
        zeros = self.values.new_zeros(*self.values.shape[:2], m)
        return zeros.scatter_(2, self.indices, self.values)


class ByLatent(NamedTuple):
    """The entries of a code sorted by latent: the transpose in compressed form (CSC)."""

    start: Tensor  # [S * M + 1], where the entries of each latent start
    sample: Tensor  # [S * B * K], the sample of each entry, as a row of [S * B]
    entry: Tensor  # [S * B * K], the position of each entry in the code
