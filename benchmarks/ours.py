"""This library's side of the benchmark: python ours.py answers jobs (`worker.serve`)."""

import os
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from jobs import WARMUP, WEAK, Job, bind, now
from torch import Tensor
from worker import serve

from synthsae import SAEConfig, TrainConfig, World, WorldConfig
from synthsae.provenance import git_commit
from synthsae.sae.base import initial_params
from synthsae.train import ActivationSource, train


class Served:
    """An activation source that serves pre-generated batches [n, B, D] in turn.

    Every data seed begins at a batch of its own, and nothing is copied.
    """

    def __init__(self, data: Tensor):
        self.data = data

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.data.shape[2]

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of a data seed, [size, D]; `size` must be that of the batches."""
        if size != self.data.shape[1]:
            raise ValueError(f"size: {size}; allowed: {self.data.shape[1]}")
        return self.data[(t + seed) % len(self.data)].to(device)


def world(job: Job) -> World:
    """M independent features of constant magnitude, k of which fire on average."""
    config = WorldConfig(
        d_model=job.d,
        n_isolated=job.m,
        isolated_p=job.k / job.m,
        n_blocks=0,
        magnitude="constant",
    )
    return World.plant(config, seed=0)


def generate(job: Job, n: int) -> np.ndarray:
    """`n` batches of the job's world, [n, B, D]."""
    planted = world(job)
    return np.stack([planted.batch(t, job.batch, seed=0).numpy() for t in range(n)])


def configured(job: Job, n_steps: int) -> TrainConfig:
    """How a job is trained: AuxK, dead counts and per-seed clipping are on, as by default."""
    bound = job.device == "cuda" or hasattr(os, "sched_setaffinity")
    return TrainConfig(
        n_steps=n_steps,
        batch_size=job.batch,
        lr=job.lr,
        dead_after=job.dead_after,
        device=job.device,
        # a system that cannot take cores away from a process: one group on `threads` of them
        threads=1 if bound else job.threads,
        group_size=None if bound else job.seeds,
    )


def weakened(config: SAEConfig, d_model: int, seed: int, n_dead: int) -> dict[str, Tensor]:
    """The usual start with the first latents too weak to fire."""
    params = initial_params(config, d_model, seed)
    w_enc = params["w_enc"].clone()
    w_enc[:n_dead] *= WEAK
    return params | {"w_enc": w_enc}


def seconds(job: Job, source: ActivationSource, n_steps: int) -> tuple[float, float]:
    """Wall time of one `train` of `n_steps` steps, and the share of dead latents at its end."""
    config, sae = configured(job, n_steps), SAEConfig(n_latents=job.m, k=job.k)

    def start(config: SAEConfig, d_model: int, seed: int) -> dict[str, Tensor]:
        return weakened(config, d_model, seed, job.n_dead)

    with patch("synthsae.sae.base.initial_params", start):
        began = perf_counter()
        trained = train(source, sae, config, seeds=range(job.seeds))
        took = now(job.device) - began
    return took, float((trained.samples_since_fired >= job.dead_after).float().mean())


def time(job: Job) -> dict[str, Any]:
    """Seed-samples a second: what the steps beyond WARMUP add to the wall time of `train`.

    The short run is made before and after the long one, and the faster counts: a disturbance of it
    must not look like speed.
    """
    bind(job.threads)
    source = world(job) if job.generate else Served(job.load())
    seconds(job, source, 2)
    short, _ = seconds(job, source, WARMUP)
    steps = max(2 * WARMUP, round(job.seconds / short * WARMUP))
    long, dead = seconds(job, source, WARMUP + steps)
    short = min(short, seconds(job, source, WARMUP)[0])
    samples = steps * job.batch * job.seeds
    return {
        "rate": samples / (long - short),
        "samples": samples,
        "dead": dead,
        "version": git_commit()[:9],
    }


if __name__ == "__main__":
    serve(time)
