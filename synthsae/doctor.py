"""The command `synthsae doctor`: what this machine computes with, and which GPU kernels work.

All kernels are compared with their plain twins again, and the new verdicts are remembered.
"""

import io
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from importlib import metadata
from typing import Any

import psutil
import torch

from synthsae import __version__, gpu, guard
from synthsae.machine import processor, threads
from synthsae.rng import torch_generator
from synthsae.sae import SAEConfig, SAEStack
from synthsae.sae.topk import pre_activations
from synthsae.train import TrainConfig, resolve_device
from synthsae.train.graph import WARM_UP
from synthsae.train.group import Group
from synthsae.world import World, WorldConfig

USAGE = "usage: synthsae doctor\n\nSay what this machine computes with, and check its GPU kernels."
SIZES = ((4, 512, 64, 128), (1, 512, 256, 1024))
"""S, B, D, M of the products that choose latents: of a study on a world, and of a larger SAE."""
REPEATS = 3
GRAPH = "CUDA graph"
DEVELOPMENT = ("dev", "test")
"""Extras that no user needs."""


def main(arguments: Sequence[str]) -> int:
    """Print the report; 0 if all is well, 1 if something was replaced by its plain twin."""
    if arguments:
        wanted = arguments[0] in ("-h", "--help")
        print(USAGE if wanted else f"synthsae doctor: {arguments[0]!r}; allowed: --help",
              file=sys.stdout if wanted else sys.stderr)  # fmt: skip
        return 0 if wanted else 2
    found = examine()
    print("\n".join(report(found)))
    return int(any(verdict != guard.OK for verdict in found["kernels"].values()))


def examine() -> dict[str, Any]:
    """What the report says, by topic. It takes some seconds."""
    device = resolve_device("auto")
    versions = {"synthsae": __version__, "python": platform.python_version()}
    versions |= {"torch": torch.__version__, "triton": guard.triton_version()}
    versions |= {"numpy": metadata.version("numpy"), "system": platform.platform()}
    name, units = processor()
    memory = psutil.virtual_memory()
    return {
        "versions": versions,
        "processor": {"name": name, "units": units, "cores": os.cpu_count()},
        "threads": {"torch": torch.get_num_threads(), "a group of seeds": TrainConfig().threads},
        "memory": {"free": _gib(memory.available), "total": _gib(memory.total)},
        "bfloat16 speed": {" x ".join(map(str, size)): _speed(size, device) for size in SIZES},
        "precision": "bfloat16" if TrainConfig().bfloat16_selection else "float32",
        "gpu": graphics_card(device),
        "kernels": kernels(device),
        "missing": missing_extras(),
    }


def report(found: dict[str, Any]) -> list[str]:
    """At most 25 lines: each topic in words, then all of `found` to paste into an issue."""
    cpu, memory, probe = found["processor"], found["memory"], found["bfloat16 speed"]
    has = ", ".join(cpu["units"]) or "no vector units that we know"
    count = found["threads"]["a group of seeds"]
    verdicts = found["kernels"]
    right = [name for name, verdict in verdicts.items() if verdict == guard.OK]
    wrong = {name: verdict for name, verdict in verdicts.items() if verdict != guard.OK}
    lines = [
        "versions: " + ", ".join(f"{key} {value}" for key, value in found["versions"].items()),
        f"processor: {cpu['name']}, {cpu['cores']} cores, {has}",
        f"threads: {count} for a group of seeds, {found['threads']['torch']} for all else",
        f"memory: {memory['free']} GiB free of {memory['total']} GiB",
        *(f"bfloat16 product: {ratio} times as fast as float32 at S x B x D x M = {size}"
          for size, ratio in probe.items()),
        f"precision: {found['precision']} chooses latents (train.precision auto)",
        f"GPU: {found['gpu']}",
        *([f"ok: {', '.join(right)}"] if right else []),
        *(f"replaced: {name}: {reason}" for name, reason in wrong.items()),
        *(f"extra {extra!r} is missing: {', '.join(names)}"
          for extra, names in found["missing"].items()),
        f"{len(wrong)} replaced by PyTorch, which is slower" if wrong else "All is well.",
        "Paste this into an issue:",
        "```json",
        json.dumps(found),
        "```",
    ]  # fmt: skip
    return lines


def graphics_card(device: torch.device) -> str:
    """The GPU in words, or why there is none."""
    if device.type == "cuda":
        name, total = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1]
        return f"{name}, {_gib(total)} GiB, driver {guard.driver()}"
    if guard.driver() != "unknown":
        return f"none that torch {torch.__version__} can use, but NVIDIA driver {guard.driver()}"
    return "none"


def kernels(device: torch.device) -> dict[str, str]:
    """Each kernel, and the CUDA graph of a training step -> guard.OK, or why it is replaced."""
    if device.type != "cuda" or guard.triton_version() == "missing":
        return {}
    device = torch.device("cuda", torch.cuda.current_device())  # numbered, as that of a tensor
    found: dict[str, str] = {}
    try:
        for kernel in guard.KERNELS:
            found[kernel] = gpu.check(kernel, device, again=True) or guard.OK
        found[GRAPH] = graph(device) or guard.OK
    except Exception as error:  # the device is lost, or has too little memory
        at = next(name for name in (*guard.KERNELS, GRAPH) if name not in found)
        found[at] = f"{guard.in_words(error)}; the others were not checked"
    return found


def graph(device: torch.device) -> str:
    """Why a small training on `device` runs without CUDA graphs; "" if it uses them."""
    world = World.plant(WorldConfig(d_model=32, n_isolated=8), seed=0)
    config = TrainConfig(
        n_steps=WARM_UP + 2, batch_size=64, device=device.type, aux_coefficient=0
    )  # without dead latents there is one graph
    stack = SAEStack.init(SAEConfig(n_latents=128, k=4), world.d_model, (0, 1), device)
    with redirect_stderr(io.StringIO()):  # the report says it
        group = Group(world, stack, config, (0, 1))
        for _ in range(config.n_steps):
            group.step()
    return group.graphs.reason if group.graphs else "the optimiser's kernel is replaced"


def missing_extras() -> dict[str, list[str]]:
    """Extra of `pip install synthsae[extra]` -> its packages that are not installed."""
    found: dict[str, list[str]] = {}
    try:
        lines = metadata.requires("synthsae") or []
    except metadata.PackageNotFoundError:  # a folder of sources that is not installed
        return {}
    for line in lines:
        extra = re.search(r"extra == ['\"](.+?)['\"]", line)
        name = re.match(r"[\w.-]+", line)
        if extra and name and extra[1] not in DEVELOPMENT and not _installed(name[0]):
            found.setdefault(extra[1], []).append(name[0])
    return found


def _installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def _speed(size: Sequence[int], device: torch.device) -> float:
    """Time of a float32 product of pre-activations as a multiple of that in bfloat16."""
    s, b, d, m = size
    g = torch_generator("data", 0)
    x = torch.randn(s, b, d, generator=g).to(device)
    params = {"w_enc": torch.randn(s, m, d, generator=g).to(device)}
    params["b_enc"] = torch.zeros(s, m, device=device)
    with threads(TrainConfig().threads):
        seconds = [_seconds(partial(pre_activations, params, x, half)) for half in (False, True)]
    return round(seconds[0] / seconds[1], 2)


def _seconds(compute: Callable[[], torch.Tensor]) -> float:
    """Time of the fastest of REPEATS calls after a first one."""
    compute()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        compute().ravel()[0].item()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return min(times)


def _gib(n: int) -> float:
    return round(n / 2**30, 1)
