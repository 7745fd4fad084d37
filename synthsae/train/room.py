"""How many latents may be dead, known without waiting for the device that counts the silence.

A latent that is dead `j` steps from now has been silent for all but `j` batches of that time by
now. Latents as silent as that are counted every EVERY steps, with `j` up to 2 EVERY, and the count
is read EVERY steps later, when the device is long past it, for the EVERY steps from there.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from synthsae.train.config import TrainConfig

EVERY = 16
"""Steps between two counts: the host is ahead of the device by no more than twice as many."""


class Room:
    """A bound on the dead latents of one SAE of a group, at one step after the other.

    It fixes the size of what AuxK computes; what comes out does not depend on it.
    """

    def __init__(self, config: TrainConfig, n_latents: int):
        self.config, self.n_latents = config, n_latents
        self._used: Callable[[], int] | None = None
        self._counted: Callable[[], int] | None = None

    def at(self, step: int, silent: Tensor, alive: Tensor) -> int:
        """The bound at `step`, where latents are `silent` [S, M], for the SAEs `alive` [S].

        All latents, where no count is old enough: after a return to a checkpoint, say.
        """
        c, limit = self.config, self.config.silence_limit()
        if c.aux_coefficient == 0 or (step + 2 * EVERY) * c.batch_size < limit:
            return 0
        if step % EVERY == 0:
            close = silent >= limit - (2 * EVERY - 1) * c.batch_size
            self._used = self._counted
            self._counted = later((close & alive[:, None]).sum(1).max())
        if step * c.batch_size < limit:
            return 0
        return self.n_latents if self._used is None else self._used()


def later(number: Tensor) -> Callable[[], int]:
    """What brings a `number` [] of the device, which is on its way from now on."""
    host = torch.empty((), dtype=number.dtype, pin_memory=number.is_cuda)
    host.copy_(number, non_blocking=True)
    arrived = torch.cuda.Event() if number.is_cuda else None
    if arrived:
        arrived.record()

    def bring() -> int:
        if arrived:
            arrived.synchronize()
        return int(host)

    return bring
