"""What is timed, and the clock that all libraries share. Runs in both environments: imports torch
and NumPy alone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

WARMUP = 5
"""Steps before the clock starts, of every training."""
SILENCE = 3
"""Batches of silence after which a latent is dead, where dead latents are asked for."""
NEVER = 10**7
"""Steps to a training's end as its schedules see it: the clock stops it long before."""
HELD_LR, WEAK = 1e-9, 0.01
"""With dead latents: the learning rate, which keeps them dead, and what their encoder rows are
multiplied by. They have pre-activations of either sign, as dead latents do, that are never among
the k largest."""


@dataclass(frozen=True)
class Job:
    """One training to time: TopK SAEs of D, M, k on batches B of pre-generated data.

    Attributes:
        seeds: SAEs S of a stack.
        trainings: SAEs that a library without a seed axis trains, one after the other; of several,
            half on one thread.
        dead: share of the latents that never fire.
        generate: whether data is generated while training, on both sides.
        seconds: how long the clock runs, about, over all trainings.
        data: file of the batches [n, B, D] float32; empty with `generate`.
    """

    d: int
    m: int
    k: int
    batch: int
    seeds: int
    trainings: int = 1
    dead: float = 0.0
    generate: bool = False
    threads: int = 2
    device: str = "cpu"
    seconds: float = 2.0
    data: str = ""

    @property
    def n_dead(self) -> int:
        """Latents that never fire."""
        return round(self.dead * self.m)

    @property
    def dead_after(self) -> int:
        """Samples of silence after which a latent is dead: out of reach unless some shall be."""
        return SILENCE * self.batch if self.dead else 10**12

    @property
    def lr(self) -> float:
        """Adam's learning rate."""
        return HELD_LR if self.dead else 3e-4

    def load(self) -> Tensor:
        """The pre-generated batches on the job's device, [n, B, D]."""
        return torch.from_numpy(np.load(self.data)).to(self.device)


class Clock(Iterator[Tensor]):
    """Batches [B, D] for a training loop, which it times: a step ends where the next batch is asked
    for. The first WARMUP steps do not count; the iteration ends once the time is over.
    """

    def __init__(self, job: Job, data: Tensor | None = None):
        self.job, self.data, self.seconds = job, data, job.seconds / job.trainings
        self.step, self.began, self.ended = 0, 0.0, 0.0

    def __next__(self) -> Tensor:
        self.tick()
        assert self.data is not None
        return self.data[(self.step - 1) % len(self.data)]

    def tick(self) -> None:
        """A step begins; raises StopIteration where the time is over."""
        if self.step == WARMUP:
            self.began = now(self.job.device)
        elif self.step > WARMUP + 2 and perf_counter() - self.began >= self.seconds:
            self.ended = now(self.job.device)
            raise StopIteration
        self.step += 1

    @property
    def samples(self) -> int:
        """Samples of the steps that count."""
        return (self.step - WARMUP) * self.job.batch

    @property
    def elapsed(self) -> float:
        """Seconds that they took."""
        return self.ended - self.began


def now(device: str) -> float:
    """The time once the device has done all it was told to do."""
    if device == "cuda":
        torch.cuda.synchronize()
    return perf_counter()


def bind(threads: int) -> None:
    """Give this process `threads` cores (where the system can), and torch as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, CORES[:threads])
    torch.set_num_threads(threads)


CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""The cores that this process had at its start."""
