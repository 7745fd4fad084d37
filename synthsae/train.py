"""Training of a stack: S SAEs side by side, none of which can notice the others."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

import torch
from torch import Tensor

from synthsae.checks import ConfigError, one_of, within
from synthsae.sae import SAEConfig, SAEStack

CACHE_BYTES = 16 * 2**20
"""Seeds share a matmul while their pre-activations fit here (measured: beyond it they lose)."""


class ActivationSource(Protocol):
    """Anything that yields activations: a planted world, a language model, an array on disk."""

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        ...

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of a data seed, [size, D] float32: a function of these arguments alone."""
        ...


@dataclass(frozen=True)
class TrainConfig:
    """How a stack is trained. Arithmetic is float32 throughout."""

    n_steps: int = field(default=1500, metadata={"help": "optimiser steps"})
    batch_size: int = field(default=512, metadata={"help": "samples B a step, for each seed"})
    lr: float | None = field(
        default=None,
        metadata={"help": "Adam's learning rate (none: 2e-4 / sqrt(n_latents / 2^14))"},
    )
    warmup: float = field(default=0.05, metadata={"help": "share of the steps with rising rate"})
    decay: float = field(default=0.2, metadata={"help": "share of the steps with falling rate"})
    clip: float = field(default=1.0, metadata={"help": "largest gradient norm of one seed"})
    aux_coefficient: float = field(
        default=1 / 32, metadata={"help": "weight of the auxiliary loss for dead latents; 0 is off"}
    )
    dead_after: int | None = field(
        default=None,
        metadata={
            "help": "samples of silence that make a latent dead (none: 10M, or a tenth of all)"
        },
    )
    init: str = field(
        default="independent",
        metadata={"help": "independent: each seed has a start of its own; shared: init seed 0"},
    )
    data: str = field(
        default="independent",
        metadata={"help": "independent: each seed has data of its own; shared: data seed 0"},
    )
    group_size: int | None = field(
        default=None,
        metadata={
            "help": "seeds in one matmul (none: what fits the cache and keeps all cores busy)"
        },
    )
    threads: int = field(
        default=1, metadata={"help": "cores that work on one group; groups use the others"}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda"})

    def __post_init__(self) -> None:
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

    def init_seeds(self, seeds: Sequence[int]) -> list[int]:
        """The seed of each SAE in the stream `init`."""
        return list(seeds) if self.init == "independent" else [0] * len(seeds)

    def data_seeds(self, seeds: Sequence[int]) -> list[int]:
        """The seed of each SAE in the stream `data`."""
        return list(seeds) if self.data == "independent" else [0] * len(seeds)

    @property
    def n_samples(self) -> int:
        """Samples that one seed sees."""
        return self.n_steps * self.batch_size

    def silence_limit(self) -> int:
        """Samples of silence after which a latent counts as dead in training."""
        return self.dead_after or max(1, min(10_000_000, self.n_samples // 10))

    def rate(self, step: int, n_latents: int) -> float:
        """Learning rate at `step`: linear warm-up, constant, linear decay to 0."""
        peak = self.lr or 2e-4 / (n_latents / 2**14) ** 0.5
        rise = (step + 1) / (self.warmup * self.n_steps + 1)
        fall = (self.n_steps - step) / (self.decay * self.n_steps + 1)
        return peak * min(1.0, rise, fall)


@dataclass
class Trained:
    """What training leaves: the SAEs, and what was watched on the way.

    Attributes:
        stack: the trained SAEs.
        loss: loss of the last step of each SAE, [S]; NaN where it is frozen.
        silent: samples since each latent last fired, [S, M].
        frozen: for each SAE whose loss or gradient stopped being finite, its position in the stack
            and that step. It keeps the parameters it had before the step.
    """

    stack: SAEStack
    loss: Tensor
    silent: Tensor
    frozen: dict[int, int]


def resolve_device(name: str) -> torch.device:
    """The device of `auto`, `cpu` or `cuda`; raises ConfigError where there is no CUDA device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device", name, "cpu or auto; torch finds no CUDA device here")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def n_workers(config: TrainConfig) -> int:
    """Groups of seeds that are trained at the same time on a CPU."""
    mine = getattr(os, "sched_getaffinity", None)  # Linux: the cores this process may use
    cores = len(mine(0)) if mine else os.cpu_count() or 1
    return max(1, cores // config.threads)


def gpu_group_size(sae: SAEConfig, config: TrainConfig, d_model: int, free: int) -> int:
    """Seeds that fit half of `free` bytes of device memory in one group.

    A seed holds weights, gradient and two moments of 2 M D numbers, and about two arrays [B, M] and
    four [B, D] of a batch, all float32.
    """
    weights, batch = 4 * 2 * sae.size * d_model, config.batch_size * (2 * sae.size + 4 * d_model)
    return config.group_size or max(1, free // 2 // (4 * (weights + batch)))


def group_size(sae: SAEConfig, config: TrainConfig, n_seeds: int, workers: int) -> int:
    """Seeds that are trained in one matmul: what fits the cache, and work for every worker."""
    fits = CACHE_BYTES // (4 * config.batch_size * sae.size)
    return config.group_size or max(1, min(fits, -(-n_seeds // workers)))


def train(
    source: ActivationSource,
    sae: SAEConfig,
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    init_seeds: Sequence[int] | None = None,
    data_seeds: Sequence[int] | None = None,
    progress: Callable[[int], object] = lambda steps: None,
) -> Trained:
    """Train one SAE for each of `seeds` on `source`.

    A seed names an SAE and fixes its start and its data, unless the config says that all share one
    of them, or `init_seeds` and `data_seeds` give them one by one. The same seeds give the same
    bits alone or in a stack, in groups of the same size, on the same device and number of threads;
    groups of other sizes differ by rounding. `progress` is called with the number of seed-steps
    done since the last call. Raises ConfigError where the device does not exist.
    """
    sae, device = sae.for_width(source.d_model), resolve_device(config.device)
    init = config.init_seeds(seeds) if init_seeds is None else init_seeds
    data = config.data_seeds(seeds) if data_seeds is None else data_seeds
    if not 0 < len(seeds) == len(init) == len(data):
        lengths = f"{len(seeds)}, {len(init)} and {len(data)}"
        raise ConfigError("seeds, init_seeds, data_seeds", lengths, "one length, 1 or more")
    stop, workers = Event(), n_workers(config)
    if device.type == "cuda":
        workers, free = 1, torch.cuda.mem_get_info(device)[0]
        n = gpu_group_size(sae, config, source.d_model, free)
    else:
        n = group_size(sae, config, len(seeds), workers)

    def group(i: int) -> Trained:
        stack = SAEStack.init(sae, source.d_model, init[i : i + n], device)
        return _train_group(source, stack, config, data[i : i + n], progress, stop)

    before = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(group, i) for i in range(0, len(seeds), n)]
        try:
            for future in as_completed(futures):
                future.result()
        finally:  # after an error or Ctrl-C, groups still running end at their next step
            stop.set()
            torch.set_num_threads(before)
    groups = [future.result() for future in futures]
    params = {k: torch.cat([g.stack.params[k] for g in groups]) for k in groups[0].stack.params}
    frozen = {i * n + s: step for i, g in enumerate(groups) for s, step in g.frozen.items()}
    return Trained(
        SAEStack(sae, tuple(seeds), params),
        torch.cat([g.loss for g in groups]),
        torch.cat([g.silent for g in groups]),
        frozen,
    )


def _train_group(
    source: ActivationSource,
    stack: SAEStack,
    config: TrainConfig,
    data_seeds: Sequence[int],
    progress: Callable[[int], object],
    stop: Event,
) -> Trained:
    """Train the SAEs of one group, which share every matmul, in place."""
    params, arch, n = stack.params, stack.architecture, len(stack.seeds)
    device = params["b_enc"].device
    views = [{name: p[s] for name, p in params.items()} for s in range(n)]
    adam = torch.optim.Adam([p for view in views for p in view.values()], fused=True)
    silent = torch.zeros(params["b_enc"].shape, dtype=torch.long, device=device)
    loss = torch.full((n,), torch.nan, device=device)
    frozen: dict[int, int] = {}
    for step in range(config.n_steps):
        if stop.is_set():
            break
        x = batches(source, step, config.batch_size, data_seeds, device)
        if step == 0:
            params["b_dec"].copy_(x.mean(1))
        dead = (silent >= config.silence_limit()) & (config.aux_coefficient > 0)
        loss, grads, fired = arch.gradients(params, x, dead, config.aux_coefficient)
        grads = tangent(params, grads)
        norm = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
        clip = (config.clip / norm).clamp(max=1)
        for s in (~(loss + norm).isfinite()).nonzero().ravel().tolist():
            frozen.setdefault(s, step)
        for s, view in enumerate(views):
            for name, p in view.items():
                p.grad = None if s in frozen else grads[name][s].mul_(clip[s])
        adam.param_groups[0]["lr"] = config.rate(step, stack.config.size)
        adam.step()
        length = torch.linalg.vector_norm(params["w_dec"], dim=2, keepdim=True)
        length[list(frozen)] = 1
        params["w_dec"] /= length
        loss[list(frozen)] = torch.nan
        silent = (silent + config.batch_size) * ~fired
        progress(n)
    return Trained(stack, loss, silent, frozen)


def batches(
    source: ActivationSource,
    t: int,
    size: int,
    data_seeds: Sequence[int],
    device: torch.device | str = "cpu",
    stream: str = "data",
) -> Tensor:
    """Batch `t` of every data seed, [S, B, D]; one that all share is drawn once."""
    if len(set(data_seeds)) == 1:
        x = source.batch(t, size, seed=data_seeds[0], stream=stream, device=device)
        return x.expand(len(data_seeds), *x.shape)
    return torch.stack(
        [source.batch(t, size, seed=s, stream=stream, device=device) for s in data_seeds]
    )


def tangent(params: dict[str, Tensor], grads: dict[str, Tensor]) -> dict[str, Tensor]:
    """`grads` with the decoder's part orthogonal to each decoder row: rows stay on the sphere."""
    g, w = grads["w_dec"], params["w_dec"]
    return grads | {"w_dec": g - (g * w).sum(2, keepdim=True) * w}
