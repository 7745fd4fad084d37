"""Compare a GPU kernel with its plain twin on small inputs, and remember the verdict.

The checks of a room's kernels are in its module `cuda_check`: `CHECKS` maps the name of a kernel to
a function of the device that returns `Case`s. The module is imported by its name, so that a check
is no part of the fingerprint of a training.

Verdicts are kept in `kernels.json` in the user's cache folder, for each device, driver, PyTorch,
Triton and text of the kernels. A kernel that is being compared has the verdict CHECKING there: if
the process ends without another verdict, the kernel crashed it, and the next process does not try.
"""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import Tensor

from synthsae import files
from synthsae.checks import ConfigError

KERNELS = (
    "sae.top",
    "sae.inner_products",
    "sae.residual",
    "sae.weight_gradients",
    "train.adam",
    "world.draw",
)
"""Names of all kernels, "room.kernel"."""
OK, CHECKING = "ok", "checking"
SLOW_RATIO, SLOW_SECONDS = 10, 0.02
"""A kernel is too slow if it takes more than both: this multiple of its twin's time, this time."""
REPEATS = 5
"""Runs of a kernel and of its twin, of which the fastest counts."""
HANGS = 20.0
"""Seconds after which a kernel that has been launched counts as one that never ends."""


class Case(NamedTuple):
    """A small problem that a kernel and its plain twin both solve.

    Attributes:
        kernel: computes the result with the kernel; it may be called repeatedly.
        twin: computes the result without kernels.
        tolerance: largest allowed error, as a share of the largest number of the twin's tensor.
            Tensors of integers have to be equal.
    """

    kernel: Callable[[], Sequence[Tensor]]
    twin: Callable[[], Sequence[Tensor]]
    tolerance: float = 1e-4


def verdict(kernel: str, device: torch.device, again: bool = False) -> str:
    """Why `kernel` cannot be used on `device`; "" if it can.

    Args:
        kernel: the name "room.kernel".
        device: the device.
        again: whether to compare even if there is a verdict already.

    Raises:
        ConfigError: if the kernel made the device unusable for this process. The next process
            does not use the kernel.
        torch.OutOfMemoryError: too little memory to compare.
    """
    if not again and (known := _recall(kernel, device)):
        return "" if known == OK else known
    _record(kernel, device, f"{CHECKING} {platform.node()} {os.getpid()}")
    reason = None
    try:
        reason = _compare(kernel, device)
    finally:  # an interrupted comparison has no verdict
        _record(kernel, device, (reason or OK) if reason is not None else None)
    if reason and (lost := _lost(device)):
        allowed = f"the same command again, which will not use the GPU kernel {kernel} ({reason})"
        raise ConfigError("device", f"{device}, lost: {lost}", allowed)
    return reason


def in_words(error: BaseException) -> str:
    """An error as one short line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:160]}" if lines else type(error).__name__


def _compare(kernel: str, device: torch.device) -> str:
    """Why `kernel` fails on `device`: an error, a wrong or a slow result; "" if it does not."""
    room, _, name = kernel.partition(".")
    try:
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            checks = import_module(f"synthsae.{room}.cuda_check").CHECKS
            cases: Iterable[Case] = checks[name](device)
            return next(filter(None, (_fault(case, device) for case in cases)), "")
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return in_words(error)


def _fault(case: Case, device: torch.device) -> str:
    """What is wrong with a kernel in one case; "" for nothing."""
    got = case.kernel()  # before the twin, whose freed memory would hold the right result
    _wait(device)
    if wrong := _difference(got, case.twin(), case.tolerance):
        return wrong
    if any(not torch.equal(a, b) for a, b in zip(got, case.kernel(), strict=True)):
        return "it gives other bits when it runs again"
    took, allowed = _seconds(case.kernel, device), SLOW_RATIO * _seconds(case.twin, device)
    if took > max(allowed, SLOW_SECONDS):
        return f"it takes {1e3 * took:.0f} ms, its plain twin {1e3 * allowed / SLOW_RATIO:.1f} ms"
    return ""


def _difference(got: Sequence[Tensor], want: Sequence[Tensor], tolerance: float) -> str:
    """How `got` differs from `want`; "" if it does not."""
    if [(t.shape, t.dtype) for t in got] != [(t.shape, t.dtype) for t in want]:
        return "its result has another shape or type than that of its plain twin"
    for a, b in zip(got, want, strict=True):
        if not b.is_floating_point():
            if not torch.equal(a, b):
                return f"{int((a != b).sum())} of {a.numel()} integers are wrong"
        elif not ((error := (a.double() - b.double()).abs()) <= tolerance * b.abs().max()).all():
            return f"its result is off by {float(error.max()):.1e} of {float(b.abs().max()):.1e}"
    return ""


def _seconds(compute: Callable[[], object], device: torch.device) -> float:
    """Time of the fastest of REPEATS runs; a run that is far too slow is the last."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        compute()
        _wait(device)
        best = min(best, took := time.perf_counter() - start)
        if took > 50 * SLOW_SECONDS:
            break
    return best


def _wait(device: torch.device) -> None:
    """Wait until the device has done what was launched. Raises TimeoutError after HANGS seconds."""
    if device.type != "cuda":
        return
    event, end = torch.cuda.Event(), time.perf_counter() + HANGS
    event.record()
    while not event.query():
        if time.perf_counter() > end:
            raise TimeoutError(f"the kernel did not end within {HANGS:.0f} s")
        time.sleep(1e-4)


def _lost(device: torch.device) -> str:
    """Why `device` cannot compute any more in this process; "" if it can."""
    try:
        _wait(device)
        torch.ones(1, device=device).sum().item()
    except Exception as error:
        return in_words(error)
    return ""


def path() -> Path | None:
    """The file of verdicts; None if the user has no home."""
    with suppress(RuntimeError):
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "synthsae" / "kernels.json"
    return None


def driver() -> str:
    """Version of the NVIDIA driver, or of the CUDA that it supports; "unknown" without a driver."""
    with suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        if found := re.search(r"\b\d+\.\d+(\.\d+)?\b", text):
            return found[0]
    version = getattr(torch._C, "_cuda_getDriverVersion", int)()
    return f"for CUDA {version // 1000}.{version % 1000 // 10}" if version else "unknown"


def triton_version() -> str:
    """Version of Triton, or why it cannot be imported; "missing" without Triton."""
    try:
        return str(import_module("triton").__version__)
    except ModuleNotFoundError as error:
        return "missing" if error.name == "triton" else in_words(error)
    except Exception as error:
        return in_words(error)


@cache
def setup(device: torch.device) -> str:
    """What a verdict depends on, in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*/*cuda*.py")):
        code.update(file.read_bytes())
    parts = {"driver": driver(), "torch": torch.__version__, "triton": triton_version()}
    words = [f"{key} {value}" for key, value in parts.items()]
    return ", ".join([name, *words, f"code {code.hexdigest()[:16]}"])


def _recall(kernel: str, device: torch.device) -> str:
    """The verdict of an earlier process: OK, or what failed; "" if there is none."""
    found = _read().get(setup(device), {}).get(kernel, "")
    if not (by := re.fullmatch(f"{CHECKING} (.*) ([0-9]{{1,9}})", found)):
        return found
    pid = int(by[2])
    if by[1] != platform.node() or (pid != os.getpid() and psutil.pid_exists(pid)):
        return ""  # another process may still be comparing
    return "the process that first tried it crashed"


def _read() -> dict[str, dict[str, str]]:
    """Setup -> kernel -> verdict; empty if the file is missing, unreadable or damaged."""
    file = path()
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
        if isinstance(found, dict) and all(isinstance(each, dict) for each in found.values()):
            return {s: {k: str(v) for k, v in each.items()} for s, each in found.items()}
    return {}


def _record(kernel: str, device: torch.device, found: str | None) -> None:
    """Write a verdict, or remove it if `found` is None; a folder that is read-only stays as it is.

    Two processes at a time may lose a verdict, and its kernel is compared again.
    """
    if (file := path()) is None:
        return
    verdicts = _read()
    mine = verdicts.setdefault(setup(device), {})
    mine.pop(kernel, None)
    if found is not None:
        mine[kernel] = found
    with suppress(ConfigError):
        files.make(file.parent)
        files.write(file, json.dumps(verdicts, indent=1).encode())
