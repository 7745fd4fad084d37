"""An upper bound on the number of dead latents, kept without waiting for the GPU.

AuxK needs the number of dead latents on the host, and reading it would make the host wait for all
work under way. Every EVERY steps the device counts the latents that may be dead at some step up to
2 EVERY later: those that have not fired for all but 2 EVERY - 1 batches of the limit. The count is
read EVERY steps later, when the device has long made it, and used for the EVERY steps after that.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from synthsae.train.config import TrainConfig

EVERY = 16
"""Steps between two counts. The host must not be ahead of the device by more than twice as many."""


class DeadLatentBound:
    """An upper bound on the dead latents of any SAE of a group, step after step.

    It decides the size of AuxK's arrays; numbers do not depend on it.
    """

    def __init__(self, config: TrainConfig, n_latents: int):
        self.config, self.n_latents = config, n_latents
        self._in_use: Callable[[], int] | None = None
        self._counted: Callable[[], int] | None = None

    def at(self, step: int, samples_since_fired: Tensor, alive: Tensor) -> int:
        """The bound at `step`.

        Args:
            step: steps done before this one.
            samples_since_fired: samples since each latent last fired, [S, M].
            alive: SAEs that are still trained, [S].

        Returns:
            The bound; `n_latents` where no count is old enough, as after a return to a checkpoint.
        """
        c, limit = self.config, self.config.dead_limit()
        if c.aux_coefficient == 0 or (step + 2 * EVERY) * c.batch_size < limit:
            return 0
        if step % EVERY == 0:
            soon = samples_since_fired >= limit - (2 * EVERY - 1) * c.batch_size
            self._in_use = self._counted
            self._counted = copy_to_host((soon & alive[:, None]).sum(1).max())
        if step * c.batch_size < limit:
            return 0
        return self.n_latents if self._in_use is None else self._in_use()


def copy_to_host(number: Tensor) -> Callable[[], int]:
    """Start to copy a `number` [] to the host; the result is a function that returns it."""
    host = torch.empty((), dtype=number.dtype, pin_memory=number.is_cuda)
    host.copy_(number, non_blocking=True)
    arrived = torch.cuda.Event() if number.is_cuda else None
    if arrived:
        arrived.record()

    def read() -> int:
        if arrived:
            arrived.synchronize()
        return int(host)

    return read
