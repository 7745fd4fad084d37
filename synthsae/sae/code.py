"""The sparse code of a batch, and the same code sorted by latent."""

from typing import NamedTuple

from torch import Tensor


class Code(NamedTuple):
    """A sparse code: K latents of each sample and their values. A value of 0 does not fire.

    Attributes:
        values: activations, 0 or more, [S, B, K].
        indices: the latent of each value, [S, B, K], without repetition in a sample. None: the code
            is dense, with K = M and all latents in order.
    """

    values: Tensor
    indices: Tensor | None

    def dense(self, m: int) -> Tensor:
        """The values of all `m` latents, [S, B, M]."""
        if self.indices is None:
            return self.values
        zeros = self.values.new_zeros(*self.values.shape[:2], m)
        return zeros.scatter_(2, self.indices, self.values)


class ByLatent(NamedTuple):
    """The entries of a code sorted by latent, as in a compressed sparse column (CSC) matrix.

    Attributes:
        start: position at which the entries of each latent start, [S * M + 1].
        sample: the sample of each entry, as a row of [S * B], [S * B * K].
        entry: the position of each entry in the flattened code, [S * B * K].
    """

    start: Tensor
    sample: Tensor
    entry: Tensor
