"""A controller of the sparsity penalty that brings the mean number of firing latents (L0) to k.

It is a proportional-integral (PI) controller on logarithms, one for each SAE (derived here). Let L0
be a running mean over `SMOOTHING` steps and e_t = log(L0_t / k), clipped to +-MAX_ERROR. The
coefficient c of the penalty follows

    log c_t = log c_{t-1} + GAIN (e_t - e_{t-1}) + GAIN e_t / (RESET n_steps)

and is constant in the last 20% of the training. The first term reacts to a change of L0. The second
removes the remaining error within about a share RESET of the training. The clipping limits how fast
c changes.

If log c has to change by v over the whole training, the error settles near v RESET. If k is larger
than the number of features that fire, v is about -3 and L0 is 8% too low; L0 then falls further in
the last 20%, in which the learning rate falls. A smaller RESET oscillates in trainings of 300
steps.
"""

from dataclasses import dataclass, field
from math import log

import torch
from torch import Tensor

from synthsae.checks import typed, within
from synthsae.sae.base import Architecture, Step

GAIN = 1.0
RESET = 0.03
SMOOTHING = 5
MAX_ERROR = 1.0
INITIAL = 0.3
"""The coefficient at step 0."""

CONSTANT = 0.2
"""Share of the training, at its end, in which the coefficient is constant."""


@dataclass(frozen=True)
class PenaltyOptions:
    """The options of an architecture with a sparsity penalty."""

    coefficient: float | None = field(
        default=None,
        metadata={"help": "weight of the sparsity penalty (none: adapted so that L0 is k)"},
    )

    def __post_init__(self) -> None:
        typed("sae.options.", self)
        within("sae.options.coefficient", self.coefficient, 0, strict=True)


class Controlled(Architecture):
    """An architecture whose penalty has a coefficient [S], set by the config or a controller."""

    Options = PenaltyOptions
    buffers = ("coefficient", "l0")

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """The parameters of TopK, the coefficient, and the running mean of L0."""
        first = INITIAL if self.options.coefficient is None else self.options.coefficient
        more = {"coefficient": torch.tensor(first), "l0": torch.tensor(float(self.k))}
        return super().init(d_model, seed) | more

    def update_buffers(
        self, params: dict[str, Tensor], on: Tensor, step: Step
    ) -> dict[str, Tensor]:
        """New values of `l0` and `coefficient`, [S], from the latents that fire, `on` [S, B, M]."""
        before = params["l0"]
        l0 = before + (on.sum((1, 2)) / on.shape[1] - before) / SMOOTHING
        if self.options.coefficient is not None or step.training_done >= 1 - CONSTANT:
            return {"l0": l0}
        was, now = self._error(before), self._error(l0)
        change = GAIN * (now - was + now * (step.step_fraction / RESET))
        return {"l0": l0, "coefficient": params["coefficient"] * change.exp()}

    def _error(self, l0: Tensor) -> Tensor:
        """log(L0 / k), clipped, [S]."""
        return (l0.log() - log(self.k)).clamp(-MAX_ERROR, MAX_ERROR)
