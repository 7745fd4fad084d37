"""A controller per SAE that brings the mean number of firing latents (L0) to the one asked.

A proportional-integral controller on logarithms. With e_t = log(L0_t / k), L0 a running mean over
`SMOOTHING` steps, the coefficient c of the sparsity penalty follows

    log c_t = log c_{t-1} + GAIN (e_t - e_{t-1}) + GAIN e_t / (RESET n_steps)

and stays as it is for the last 20% of the training. The first term answers a movement of L0, the
second removes what is left over in about a share RESET of the training. e is cut at +-CUT, so that
an SAE far from its aim is brought back at a bounded pace. Every quantity is one SAE's own.

An integral follows what moves at a distance: while log c has to change by v over a whole training,
e stays near v RESET. Where k is more than the features that fire, v is some -3 and L0 8% low, and
fewer latents fire as the learning rate falls in the fixed last 20%. A smaller RESET would oscillate
in trainings of 300 steps.
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
CUT = 1.0
FIRST = 0.3
"""The coefficient at step 0."""

FROZEN = 0.2
"""Share of the training, at its end, in which the coefficient is fixed."""


@dataclass(frozen=True)
class PenaltyOptions:
    """The options of an architecture with a sparsity penalty."""

    coefficient: float | None = field(
        default=None,
        metadata={"help": "weight of the sparsity penalty (none: a controller holds L0 at k)"},
    )

    def __post_init__(self) -> None:
        typed("sae.options.", self)
        within("sae.options.coefficient", self.coefficient, 0, strict=True)


class Controlled(Architecture):
    """An architecture whose penalty has a coefficient [S]: steered, or fixed by the config."""

    Options = PenaltyOptions
    buffers = ("coefficient", "l0")

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """TopK's, the coefficient, and the running mean of L0."""
        first = FIRST if self.options.coefficient is None else self.options.coefficient
        more = {"coefficient": torch.tensor(first), "l0": torch.tensor(float(self.k))}
        return super().init(d_model, seed) | more

    def steer(self, params: dict[str, Tensor], on: Tensor, step: Step) -> dict[str, Tensor]:
        """New buffers, from the latents that fire, `on` [S, B, M]."""
        before = params["l0"]
        l0 = before + (on.sum((1, 2)) / on.shape[1] - before) / SMOOTHING
        if self.options.coefficient is not None or step.training_done >= 1 - FROZEN:
            return {"l0": l0}
        was, now = self._error(before), self._error(l0)
        change = GAIN * (now - was + now * (step.step_fraction / RESET))
        return {"l0": l0, "coefficient": params["coefficient"] * change.exp()}

    def _error(self, l0: Tensor) -> Tensor:
        return (l0.log() - log(self.k)).clamp(-CUT, CUT)
