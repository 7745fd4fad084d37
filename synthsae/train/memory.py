"""What training takes: a bound on its memory, and the groups that fit."""

import os

import psutil
import torch

from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.train.config import TrainConfig, resolve_device
from synthsae.train.graph import worthwhile

CACHE_BYTES = 2**22
"""Seeds share a matmul while their pre-activations fit here."""

LEAST_BYTES = 2**20
"""Two groups, each on a core, are slower than one where they hold less: measured from D 16, M 32 to
D 64, M 256, two threads wait for each other to start operations as small as these."""

AT_ONCE_BYTES = 2**23
"""Groups that take less are trained one after another: for that same reason two at once are slower,
1.7 times from D 8, M 16 to D 32, M 64 at up to 256 samples, and faster from D 64, M 256 at 1024."""


ALLOCATOR_BYTES = 2**27
"""What a group at work may hold on a CPU beyond its arrays.

glibc keeps freed arrays below 32 MiB, up to 64 MiB at the end of each heap and what lies between
others, and matrix libraries have buffers. Measured: up to 79 MiB on AMD Zen 5; on an Intel Xeon
with matrix units a process took 169 MiB where its arrays take 75."""


def seed_bytes(sae: SAEConfig, config: TrainConfig, d_model: int) -> int:
    """Bound on the arrays of one seed in training, without the source's own tables.

    Parameters, gradient and two moments; seven arrays [B, D] of the batch and its residuals;
    `Architecture.arrays` of [B, M] of pre-activations and what follows from them, and five more
    where all latents are dead and AuxK is on; 120 bytes for each of the B k entries of the code and
    of its transpose.
    """
    b, d, m = config.batch_size, d_model, sae.size
    n_parameters = 2 * m * d + m + d
    dense = ARCHITECTURES[sae.arch].arrays + 5 * (config.aux_coefficient > 0)
    return 4 * (4 * n_parameters + b * (7 * d + dense * m)) + 120 * b * min(sae.k, m)


def group_size(sae: SAEConfig, config: TrainConfig, n_seeds: int, d_model: int) -> int:
    """Seeds that are trained in one matmul.

    On a CPU a function of the config alone, so that every machine computes the same: half of the
    seeds if that is work enough, and what fits the cache. On a GPU what fits half of its memory.
    """
    if config.group_size:
        return config.group_size
    device = resolve_device(config.device)
    if device.type == "cuda":
        return max(1, available(device) // 2 // seed_bytes(sae, config, d_model))
    each = 4 * config.batch_size * sae.size
    half = max(-(-n_seeds // 2), LEAST_BYTES // each)
    return max(1, min(half, CACHE_BYTES // each))


def n_workers(config: TrainConfig, group_bytes: int) -> int:
    """Groups of so many bytes that are trained at the same time.

    One on a GPU, and where they are small; else those that cores and memory allow.
    """
    device = resolve_device(config.device)
    if device.type == "cuda" or group_bytes < AT_ONCE_BYTES:
        return 1
    mine = getattr(os, "sched_getaffinity", None)  # Linux: the cores this process may use
    cores = len(mine(0)) if mine else os.cpu_count() or 1
    return max(1, min(cores // config.threads, available(device) // group_bytes))


def memory_bound(sae: SAEConfig, config: TrainConfig, n_seeds: int, d_model: int) -> int:
    """Bound in bytes on what `train` takes: groups in training, and the parameters of all seeds.

    On a CPU each group at work is given `ALLOCATOR_BYTES` more. CUDA graphs keep what a step takes,
    while steps of another kind may be launched one by one.
    """
    size = group_size(sae, config, n_seeds, d_model)
    n = min(n_seeds, size)
    group = n * seed_bytes(sae, config, d_model)
    cuda = resolve_device(config.device).type == "cuda"
    if cuda and worthwhile(sae, n, config.batch_size):
        group *= 2
    at_once = min(-(-n_seeds // size), n_workers(config, group))
    parameters = 4 * (2 * sae.size * d_model + sae.size + d_model)
    return at_once * (group + ALLOCATOR_BYTES * (not cuda)) + 2 * n_seeds * parameters


def available(device: torch.device) -> int:
    """Bytes of memory that are free on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees, which the next step takes again.

    Its malloc gives back what lies free at the end of a heap, once that is twice the largest array
    it has seen freed, and takes it anew with a page fault for 4 KiB: a third of the time of a step
    at D 16, M 32. So it is shown one of just below 32 MiB, the largest that counts; nothing is
    written to it. Other systems are left as they are.
    """
    torch.empty(33_000_000, dtype=torch.uint8)
