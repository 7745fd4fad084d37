"""An upper bound on the number of dead latents, kept without waiting for the GPU.

AuxK needs the number of dead latents on the host, and to read it the host would have to wait for
the device. Instead, every EVERY steps the device counts the latents that can be dead within the
next 2 EVERY steps: those that are at most 2 EVERY - 1 batches short of the limit. The host reads
the count EVERY steps later, when it has long been computed, and uses it for the next EVERY steps.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from synthsae.train.config import TrainConfig

EVERY = 16
"""Steps between two counts. The host may be ahead of the device by 2 EVERY steps at most."""


class DeadLatentBound:
    """An upper bound on the number of dead latents of each SAE of a group, at every step.

    The bound decides the size of AuxK's arrays. Losses and gradients do not depend on it.

    Args:
        config: how the group is trained.
        n_latents: number of latents M of one SAE.
    """

    def __init__(self, config: TrainConfig, n_latents: int):
        self.config, self.n_latents = config, n_latents
        self._in_use: Callable[[], int] | None = None
        self._counted: Callable[[], int] | None = None

    def at(self, step: int, samples_since_fired: Tensor, active: Tensor) -> int:
        """The bound at `step`.

        Args:
            step: number of steps done before this one.
            samples_since_fired: number of samples since each latent last fired, [S, M].
            active: which SAEs are not frozen, bool [S].

        Returns:
            The bound; `n_latents` if there is no count yet, as after a checkpoint was restored.
        """
        c, limit = self.config, self.config.dead_limit()
        if c.aux_coefficient == 0 or (step + 2 * EVERY) * c.batch_size < limit:
            return 0
        if step % EVERY == 0:
            soon = samples_since_fired >= limit - (2 * EVERY - 1) * c.batch_size
            self._in_use = self._counted
            self._counted = copy_to_host((soon & active[:, None]).sum(1).max())
        if step * c.batch_size < limit:
            return 0
        return self.n_latents if self._in_use is None else self._in_use()


def copy_to_host(number: Tensor) -> Callable[[], int]:
    """Start to copy a `number` [] to the host; returns a function that waits for it."""
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
