"""Decide between a GPU kernel and its plain twin: an operation of PyTorch that computes the same.

Before a Triton kernel is first used on a device, `guard` compares it with its twin. A kernel that
fails there, or later raises an error, is replaced by the twin until the process ends, and one line
on stderr says so. Kernels have names such as "sae.top".
"""

from importlib.util import find_spec
from threading import RLock
from types import TracebackType

import torch
from torch import Tensor

from synthsae import guard
from synthsae.progress import say

_usable: dict[tuple[str, torch.device], bool] = {}
_lock = RLock()
_comparing = False
"""Whether the thread that holds the lock compares a kernel; meanwhile no kernel is usable."""


def usable(kernel: str, x: Tensor) -> bool:
    """Whether `kernel` may compute on `x`: `x` is on a GPU, where it agrees with its plain twin."""
    if not x.is_cuda:
        return False
    known = _usable.get((kernel, x.device))
    return _decide(kernel, x.device) if known is None else known


def check(kernel: str, device: torch.device, again: bool = False) -> str:
    """Why `kernel` cannot be used on `device`; "" if it can. Arguments as of `guard.verdict`."""
    global _comparing
    with _lock:
        others = _usable.copy()
        _usable.clear()  # the twin may call functions that have kernels
        _comparing = True
        try:
            reason = guard.verdict(kernel, device, again)
        finally:
            _comparing = False
            _usable.update(others)
        _usable[kernel, device] = not reason
        return reason


def _decide(kernel: str, device: torch.device) -> bool:
    """Whether `kernel` can be used on `device`; compared with its twin if that is not done yet."""
    with _lock:
        if _comparing:
            return False
        if (kernel, device) not in _usable:
            if not find_spec("triton"):
                _usable[kernel, device] = False
            elif reason := check(kernel, device):
                _say_replaced(kernel, reason)
        return _usable[kernel, device]


class falling_back:
    """After an error in the block, leave the block and use the plain twin of `kernel` from then on.

    Errors that are not the kernel's are raised: too little memory, and errors while a CUDA graph is
    recorded, where even a correct operation may be forbidden.

    Args:
        kernel: the kernel that the block launches.
        x: a tensor on the device.
    """

    def __init__(self, kernel: str, x: Tensor):
        self.kernel, self.device = kernel, x.device

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, torch.OutOfMemoryError):
            return False
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return False
        _usable[self.kernel, self.device] = False
        _say_replaced(self.kernel, guard.in_words(error))
        return True


def say_slower(what: str, reason: str) -> None:
    """Print one line that says what is not used on the GPU, why, and where to report it."""
    say(
        f"synthsae: {what} is not used, PyTorch takes its place and is slower: {reason}. Please "
        "report it with the output of `synthsae doctor`, which also checks again."
    )


def _say_replaced(kernel: str, reason: str) -> None:
    say_slower(f"the GPU kernel {kernel}", reason)
