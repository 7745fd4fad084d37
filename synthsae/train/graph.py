"""A step as a CUDA graph: many small kernels, and one launch.

A graph repeats the kernels that were recorded, on the memory they had. So whatever changes from one
step to the next has to lie in tensors that stay where they are: parameters, moments, silence, the
rate, and the batch, which is copied to its place. Numbers of the host are recorded as they were,
which leaves the room for AuxK: each room has a graph of its own.
"""

import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.sae.auxk import CHUNK

MOST = 2**28
"""Pre-activations of a step up to which graphs are used: above, a kernel outlasts its launch."""

FIRST = 3
"""Steps that are launched one by one before a graph is recorded: they compile and load kernels."""

Learn = Callable[[Tensor, int], None]


class Graphs:
    """The graphs of one step, `learn(x, room)`, that changes tensors in place and returns nothing.

    Launched one by one or as a graph, a step gives the same bits. Where recording fails, that is
    said, and all steps are launched one by one.
    """

    def __init__(self) -> None:
        self._x: Tensor | None = None
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._done: Counter[int] = Counter()
        self._failed: torch.cuda.CUDAGraph | None = None

    def step(self, learn: Learn, x: Tensor, room: int) -> None:
        """`learn(x, room)`, with `room` rounded up so that a few graphs do for all."""
        if self._failed:
            return learn(x, room)
        room = rounded(room)
        self._x = torch.empty_like(x) if self._x is None else self._x
        self._x.copy_(x)
        if room not in self._graphs and self._done[room] == FIRST:
            self._record(learn, self._x, room)
        if room in self._graphs:
            return self._graphs[room].replay()
        self._done[room] += 1
        return learn(self._x, room)

    def _record(self, learn: Learn, x: Tensor, room: int) -> None:
        """Record the step, which runs nothing."""
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        try:
            with (
                torch.cuda.stream(torch.cuda.current_stream()),  # to be back on it, come what may
                torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
            ):
                learn(x, room)
        except RuntimeError as error:
            self._failed = graph  # the allocator may still ask it about the recording
            warnings.warn(f"no CUDA graph, steps are launched one by one: {error}", stacklevel=2)
        else:
            self._graphs[room] = graph


def rounded(room: int) -> int:
    """The next of 0 and CHUNK times the powers of 2."""
    return CHUNK << (-(-room // CHUNK) - 1).bit_length() if room else 0


def worth(sae: SAEConfig, n_seeds: int, batch_size: int) -> bool:
    """Whether a GPU should train groups of this size by graphs."""
    return ARCHITECTURES[sae.arch].static and n_seeds * batch_size * sae.size <= MOST
