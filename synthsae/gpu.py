"""The test that decides between Triton kernels and PyTorch operations."""

from importlib.util import find_spec

from torch import Tensor


def on_triton(x: Tensor) -> bool:
    """Whether `x` is on a GPU and Triton is installed, so that Triton kernels can read `x`."""
    return x.is_cuda and find_spec("triton") is not None
