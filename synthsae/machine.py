"""The number of threads on which PyTorch and NumPy compute."""

from collections.abc import Iterator
from contextlib import contextmanager

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
