"""A step as a CUDA graph: many small kernels, and one launch.

A graph repeats recorded kernels on the memory that they had when recorded. Everything that changes
between steps must therefore lie in tensors that stay where they are: parameters, moments, counters,
the rate, and the batch, which is copied into place. Numbers of the host are frozen in the graph.
One of them changes, the bound on dead latents, so each (rounded) bound has a graph of its own.
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
    """The graphs of one step, `learn(x, max_dead)`, which changes tensors in place.

    A step gives the same bits with and without a graph. If recording fails, a warning is given and
    kernels are launched one by one.
    """

    def __init__(self) -> None:
        self._x: Tensor | None = None
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._done: Counter[int] = Counter()
        self._failed: torch.cuda.CUDAGraph | None = None

    def step(self, learn: Learn, x: Tensor, max_dead: int) -> None:
        """`learn(x, max_dead)`, with the bound rounded up so that a few graphs suffice."""
        if self._failed:
            return learn(x, max_dead)
        max_dead = rounded(max_dead)
        self._x = torch.empty_like(x) if self._x is None else self._x
        self._x.copy_(x)
        if max_dead not in self._graphs and self._done[max_dead] == FIRST:
            self._record(learn, self._x, max_dead)
        if max_dead in self._graphs:
            return self._graphs[max_dead].replay()
        self._done[max_dead] += 1
        return learn(self._x, max_dead)

    def _record(self, learn: Learn, x: Tensor, max_dead: int) -> None:
        """Record the step without running it."""
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        try:
            with (
                torch.cuda.stream(torch.cuda.current_stream()),  # to be back on it, come what may
                torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
            ):
                learn(x, max_dead)
        except RuntimeError as error:
            self._failed = graph  # the allocator may still ask it about the recording
            warnings.warn(f"no CUDA graph, steps are launched one by one: {error}", stacklevel=2)
        else:
            self._graphs[max_dead] = graph


def rounded(max_dead: int) -> int:
    """`max_dead` rounded up to 0, or CHUNK times a power of 2."""
    return CHUNK << (-(-max_dead // CHUNK) - 1).bit_length() if max_dead else 0


def worthwhile(sae: SAEConfig, n_seeds: int, batch_size: int) -> bool:
    """Whether graphs make the training of such a group on a GPU faster."""
    return ARCHITECTURES[sae.arch].static and n_seeds * batch_size * sae.size <= MOST
