"""Where Triton's kernels take the place of torch's operations."""

from importlib.util import find_spec

from torch import Tensor


def on_triton(x: Tensor) -> bool:
    """Whether `x` is on a GPU that Triton compiles for."""
    return x.is_cuda and find_spec("triton") is not None
