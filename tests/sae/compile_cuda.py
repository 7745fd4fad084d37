"""Compile every kernel as its launcher would launch it, for an H100 or H200, without a device.

Prints one JSON line a kernel: registers a thread, bytes spilt, shared memory, warps. Run
`python tests/sae/compile_cuda.py bfloat16` or `float32`, with the numbers of the sizes if not all
are wanted, without TRITON_INTERPRET. The launchers get CPU tensors, a stand-in for the driver
answers for the device, and Triton compiles down to machine code and launches nothing.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from synthsae.sae import cuda
from synthsae.sae.code import ByLatent, Code
from synthsae.train import adam_cuda
from synthsae.world import World, WorldConfig
from synthsae.world import cuda as world_cuda

# S, B, D, M, K: the two sizes of benchmarks/gpu.py, an odd one, a row that registers cannot hold,
# and ones, which Triton takes as constants
SIZES = [(1, 8192, 768, 16384, 64), (64, 4096, 128, 512, 8), (3, 5, 77, 131, 9)]
SIZES += [(1, 64, 256, 65536, 300), (1, 1, 1, 1, 1), (1, 512, 1, 2, 1), (1, 8, 8192, 64, 8)]


class Driver:
    """The part of Triton's driver that compilation asks for."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


def usage(cubin: bytes) -> dict[str, int]:
    """Registers and local memory (spills) by the tool that Triton ships."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as f:
        Path(f.name).write_bytes(cubin)
        tool = knobs.nvidia.cuobjdump.path
        out = subprocess.run([tool, "-res-usage", f.name], capture_output=True, text=True)
    text = out.stdout + out.stderr
    found = {key: int(v) for key, v in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", text)}
    return {key.lower(): found[key] for key in ("REG", "STACK", "LOCAL")}


def compile_only(kernel: JITFunction, *args, grid, warmup, **options) -> None:
    """Stands in for JITFunction.run."""
    done = run(kernel, *args, grid=grid, warmup=True, **options)
    facts = {"kernel": kernel.fn.__name__, "size": size, "type": str(dtype)[6:]}
    facts |= usage(done.asm["cubin"]) | {"shared": done.metadata.shared}
    print(json.dumps(facts | {"warps": done.metadata.num_warps}), flush=True)


def launch_all(s: int, b: int, d: int, m: int, k: int, dtype: torch.dtype) -> None:
    """Call every launcher; the arrays are never read, but for `start`."""
    cuda.top(torch.empty(s, b, m, dtype=dtype), k)
    values, indices = torch.empty(s, b, k), torch.empty(s, b, k, dtype=torch.int64)
    x = torch.empty(s, b, d, dtype=dtype)
    weight = torch.empty(s, m, d, dtype=dtype)
    cuda.residual(Code(values, indices), weight, x)
    cuda.inner_products(x, weight, indices)
    start, flat = torch.zeros(s * m + 1, dtype=torch.int64), indices.ravel()
    cuda.weight_gradients(ByLatent(start, flat, flat), values, values, x, x)
    p, factor, alive = torch.empty(s, m, d), torch.empty(s), torch.empty(s, dtype=torch.bool)
    for sphere in (True, False):
        adam_cuda.squares(p, p if sphere else None)
        adam_cuda.step(p, p, p, p, factor, alive, torch.empty(2), sphere)
    for world in worlds(d, m, k):
        sampler = world.sampler("cpu")
        world_cuda.batches(sampler, torch.empty(s, dtype=torch.int64), 5, b)
        world_cuda.magnitudes(sampler, torch.empty(s, dtype=torch.int64), 5, b)


def worlds(d: int, m: int, k: int) -> Iterator[World]:
    """That of benchmarks/gpu.py, and where there is room one with all that the kernel draws."""
    configs = [WorldConfig(d_model=d, n_isolated=m, n_blocks=0, rank=1, noise=0.1)]
    full = {"d_model": d, "n_isolated": m, "magnitude": "normal", "n_circles": 1, "noise": 0.1}
    if d >= 8:
        blocks = {"n_blocks": 2, "rank": min(k, d // 4)}
        configs += [WorldConfig(law=law, **full, **blocks) for law in ("isotropic", "gaussian")]
        configs += [WorldConfig(blocks_per_gate=2, circle_density=9.0, **full, **blocks)]
    for c in configs:
        shapes = [(m, d), (c.n_blocks, d, c.rank), (c.n_blocks, 0, d), (c.n_circles, d, 2)]
        yield World(c, *(np.zeros(shape) for shape in [*shapes, d, (m, 0), m]))


if __name__ == "__main__":
    driver.set_active(Driver())
    run = JITFunction.run
    JITFunction.run = compile_only
    dtype = getattr(torch, sys.argv[1])
    for size in [SIZES[int(i)] for i in sys.argv[2:]] or SIZES:
        launch_all(*size, dtype)
