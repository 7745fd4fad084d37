"""Options of training, and the device that it runs on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from synthsae.checks import ConfigError, one_of, typed, within
from synthsae.deprecated import old_attributes

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's decay rates beta1 and beta2, and its epsilon; no config varies them."""


@old_attributes({"half": "bfloat16_selection", "silence_limit": "dead_limit"})
@dataclass(frozen=True)
class TrainConfig:
    """Options of training, the same for every seed of a stack. A field's `help` describes it."""

    n_steps: int = field(default=1500, metadata={"help": "optimiser steps"})
    batch_size: int = field(default=512, metadata={"help": "samples B in a step of one seed"})
    lr: float | None = field(
        default=None,
        metadata={"help": "peak learning rate of Adam (none: 2e-4 / sqrt(n_latents / 2^14))"},
    )
    warmup: float = field(
        default=0.05, metadata={"help": "share of the steps in which the learning rate rises"}
    )
    decay: float = field(
        default=0.2, metadata={"help": "share of the steps in which the learning rate falls"}
    )
    clip: float = field(
        default=1.0, metadata={"help": "gradients of one seed with a larger norm are scaled to it"}
    )
    aux_coefficient: float = field(
        default=1 / 32, metadata={"help": "weight of the auxiliary loss for dead latents; 0 is off"}
    )
    dead_after: int | None = field(
        default=None,
        metadata={
            "help": "samples without firing after which a latent is dead (none: 10M, at most a "
            "tenth of the training)"
        },
    )
    init: str = field(
        default="independent",
        metadata={
            "help": "start of training: independent (one for each seed) or shared (init seed 0)"
        },
    )
    data: str = field(
        default="independent",
        metadata={
            "help": "training data: independent (a stream for each seed) or shared (data seed 0)"
        },
    )
    group_size: int | None = field(
        default=None,
        metadata={
            "help": "seeds trained in one matmul (none: half of them, or those that fit the cache)"
        },
    )
    threads: int = field(
        default=1, metadata={"help": "cores for one group of seeds; other groups use other cores"}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda"})
    precision: str = field(
        default="auto",
        metadata={
            "help": "precision of the matmul that chooses latents: float32, bfloat16, or auto "
            "(bfloat16 on a GPU, else float32); everything else is float32"
        },
    )

    def __post_init__(self) -> None:
        typed("train.", self)
        within("train.n_steps", self.n_steps, 0)
        within("train.batch_size", self.batch_size, 2)
        within("train.lr", self.lr, 0, strict=True)
        within("train.warmup", self.warmup, 0, 1)
        within("train.decay", self.decay, 0, 1)
        within("train.clip", self.clip, 0, strict=True)
        within("train.aux_coefficient", self.aux_coefficient, 0)
        within("train.dead_after", self.dead_after, 1)
        one_of("train.init", self.init, ("independent", "shared"))
        one_of("train.data", self.data, ("independent", "shared"))
        within("train.group_size", self.group_size, 1)
        within("train.threads", self.threads, 1)
        one_of("train.device", self.device, ("auto", "cpu", "cuda"))
        one_of("train.precision", self.precision, ("auto", "float32", "bfloat16"))

    def init_seeds(self, seeds: Sequence[int]) -> list[int]:
        """The seed of each SAE in the stream `init`, [S]."""
        return list(seeds) if self.init == "independent" else [0] * len(seeds)

    def data_seeds(self, seeds: Sequence[int]) -> list[int]:
        """The seed of each SAE in the stream `data`, [S]."""
        return list(seeds) if self.data == "independent" else [0] * len(seeds)

    @property
    def n_samples(self) -> int:
        """Number of samples that one seed is trained on."""
        return self.n_steps * self.batch_size

    @property
    def bfloat16_selection(self) -> bool:
        """Whether the matmul that chooses latents is in bfloat16."""
        on_gpu = self.precision == "auto" and resolve_device(self.device).type == "cuda"
        return on_gpu or self.precision == "bfloat16"

    def dead_limit(self) -> int:
        """Samples without firing after which a latent counts as dead in training."""
        return self.dead_after or max(1, min(10_000_000, self.n_samples // 10))

    def rate(self, step: int, n_latents: int) -> float:
        """Learning rate at `step`: linear warm-up, then constant, then linear decay to 0.

        Args:
            step: number of steps done before.
            n_latents: number of latents M, on which the default of `lr` depends.
        """
        peak = self.lr or 2e-4 / (n_latents / 2**14) ** 0.5
        rise = (step + 1) / (self.warmup * self.n_steps + 1)
        fall = (self.n_steps - step) / (self.decay * self.n_steps + 1)
        return peak * min(1.0, rise, fall)


def resolve_device(name: str, field: str = "train.device") -> torch.device:
    """The device that `auto`, `cpu` or `cuda` names.

    Raises:
        ConfigError: for `cuda` on a machine without a CUDA device; `field` is the error's field.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(field, name, "cpu or auto; torch finds no CUDA device here")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
