"""The processor, and the number of threads on which PyTorch and NumPy compute."""

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let PyTorch and NumPy compute on `n` threads inside the `with` block.

    The number of threads decides how sums are rounded: two runs give the same bits only with the
    same `n`.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


UNITS = {
    "AVX2": "avx2",
    "AVX512": "avx512f",
    "AVX512-BF16": "avx512_bf16",
    "AMX": "amx_bf16",
}
"""Vector and matrix units of an x86 processor -> their flags in Linux."""


def processor() -> tuple[str, list[str]]:
    """Name of the processor, and which of UNITS it has.

    Where Linux does not list them, the units are the ones that PyTorch uses.
    """
    text = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"^model name\s*: (.+)$", text, re.M)
    flags = re.search(r"^flags\s*: (.+)$", text, re.M)
    had = set(flags[1].split()) if flags else set()
    units = [unit for unit, flag in UNITS.items() if flag in had]
    return (
        name[1] if name else platform.processor() or platform.machine(),
        units if flags else [torch.backends.cpu.get_cpu_capability()],
    )
