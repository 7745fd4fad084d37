"""An upper bound on the memory of training, and the number of seeds in a group."""

import os

import psutil
import torch

from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.train.config import TrainConfig, resolve_device
from synthsae.train.graph import graphs_help

CACHE_BYTES = 2**22
"""Largest size of the pre-activations of a group on a CPU, so that they fit the cache."""

MIN_GROUP_BYTES = 2**20
"""Size of a group's pre-activations below which seeds are not split into two groups for two cores.

Two threads that start such small operations wait for each other, so that two groups are slower than
one. Measured from D = 16, M = 32 to D = 64, M = 256."""

MIN_PARALLEL_BYTES = 2**23
"""Size of a group's arrays below which groups are trained one after another, for the same reason.

Two groups at the same time were 1.7 times slower from D = 8, M = 16 to D = 32, M = 64 at up to 256
samples, and faster from D = 64, M = 256 at 1024 samples."""

ALLOCATOR_BYTES = 2**27
"""Memory of a group in training on a CPU beyond its arrays, at most.

glibc keeps freed arrays below 32 MiB: up to 64 MiB at the end of each heap, and the gaps between
arrays in use. Matrix libraries have buffers as well. Measured: up to 79 MiB on AMD Zen 5, and 94
MiB on an Intel Xeon with matrix units."""


def seed_bytes(sae: SAEConfig, config: TrainConfig, d_model: int) -> int:
    """Upper bound on the bytes of the arrays of one seed in training.

    The arrays of the source itself are not included. The bound is the sum of

    - parameters, their gradients and two moments of Adam;
    - seven arrays [B, D] of the batch and its residuals;
    - `Architecture.arrays` arrays [B, M] of pre-activations and their gradients, and five more for
      AuxK, which needs them if all latents are dead;
    - 120 bytes for each of the B k entries of the code and of its transpose.
    """
    b, d, m = config.batch_size, d_model, sae.size
    n_parameters = 2 * m * d + m + d
    dense = ARCHITECTURES[sae.arch].arrays + 5 * (config.aux_coefficient > 0)
    return 4 * (4 * n_parameters + b * (7 * d + dense * m)) + 120 * b * min(sae.k, m)


def group_size(sae: SAEConfig, config: TrainConfig, n_seeds: int, d_model: int) -> int:
    """Number of seeds that are trained in one matmul, 1 or more.

    On a CPU it is half of the seeds, but at least `MIN_GROUP_BYTES` and at most `CACHE_BYTES` of
    pre-activations. It depends on the arguments alone, so that every machine computes the same
    bits. On a GPU it is the number of seeds that fit half of the free memory.
    """
    if config.group_size:
        return config.group_size
    device = resolve_device(config.device)
    if device.type == "cuda":
        return max(1, available(device) // 2 // seed_bytes(sae, config, d_model))
    each = 4 * config.batch_size * sae.size
    wanted = max(-(-n_seeds // 2), MIN_GROUP_BYTES // each)
    return max(1, min(wanted, CACHE_BYTES // each))


def n_workers(config: TrainConfig, group_bytes: int) -> int:
    """Number of groups that are trained at the same time, if each takes `group_bytes`.

    It is 1 on a GPU and for groups below `MIN_PARALLEL_BYTES`. Otherwise it is the number that the
    cores and the free memory allow.
    """
    device = resolve_device(config.device)
    if device.type == "cuda" or group_bytes < MIN_PARALLEL_BYTES:
        return 1
    affinity = getattr(os, "sched_getaffinity", None)  # Linux: the cores this process may use
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores // config.threads, available(device) // group_bytes))


def memory_bound(sae: SAEConfig, config: TrainConfig, n_seeds: int, d_model: int) -> int:
    """Upper bound on the bytes that `train` takes: groups in training, and all SAEs.

    On a CPU `ALLOCATOR_BYTES` are added for each group in training. With CUDA graphs a group counts
    twice: recorded graphs keep the memory of a step, and a step that is not recorded takes as much
    again.
    """
    size = group_size(sae, config, n_seeds, d_model)
    n = min(n_seeds, size)
    group = n * seed_bytes(sae, config, d_model)
    cuda = resolve_device(config.device).type == "cuda"
    if cuda and graphs_help(sae, n, config.batch_size):
        group *= 2
    at_once = min(-(-n_seeds // size), n_workers(config, group))
    parameters = 4 * (2 * sae.size * d_model + sae.size + d_model)
    return at_once * (group + ALLOCATOR_BYTES * (not cuda)) + 2 * n_seeds * parameters


def available(device: torch.device) -> int:
    """Bytes of free memory on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def keep_freed_memory() -> None:
    """Make glibc keep the memory that a step frees, because the next step needs it again.

    glibc returns free memory at the end of a heap to the system once it is twice the largest array
    that was freed so far. Each 4 KiB of it then costs a page fault in the next step: a third of the
    time of a step at D = 16, M = 32. This function allocates and frees an array of just below 32
    MiB, the largest that glibc counts. Nothing is written to the array, so it takes no memory. On
    other systems the call has no effect.
    """
    torch.empty(33_000_000, dtype=torch.uint8)
