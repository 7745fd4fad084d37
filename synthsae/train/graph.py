"""Record a training step as a CUDA graph, which launches many small kernels at once.

A graph repeats recorded kernels on the same memory. Everything that changes between steps must
therefore be in tensors that keep their place: parameters, moments, counters, the learning rate, and
the batch, which is copied into place. Python numbers are constants of the graph. One of them
changes during training, the bound on dead latents, so there is one graph for each rounded bound.
"""

import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.sae.auxk import CHUNK

MAX_PRE_ACTIVATIONS = 2**28
"""Largest number of pre-activations in a step for which graphs are used.

In larger steps a kernel takes longer than its launch, and graphs save no time."""

WARM_UP = 3
"""Steps without a graph before one is recorded; they compile and load the kernels."""

Learn = Callable[[Tensor, int], None]


class Graphs:
    """The recorded graphs of one function `learn(x, max_dead)`, which changes tensors in place.

    A step gives the same bits with and without a graph. If recording fails, there is a warning, and
    every later step runs without a graph.
    """

    def __init__(self) -> None:
        self._x: Tensor | None = None
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._done: Counter[int] = Counter()
        self._failed: torch.cuda.CUDAGraph | None = None

    def step(self, learn: Learn, x: Tensor, max_dead: int) -> None:
        """Do `learn(x, max_dead)`; the bound is rounded up, so that there are only a few graphs."""
        if self._failed:
            return learn(x, max_dead)
        max_dead = rounded(max_dead)
        self._x = torch.empty_like(x) if self._x is None else self._x
        self._x.copy_(x)
        if max_dead not in self._graphs and self._done[max_dead] == WARM_UP:
            self._record(learn, self._x, max_dead)
        if max_dead in self._graphs:
            return self._graphs[max_dead].replay()
        self._done[max_dead] += 1
        return learn(self._x, max_dead)

    def _record(self, learn: Learn, x: Tensor, max_dead: int) -> None:
        """Record `learn` as a graph, without running it."""
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        try:
            with (
                torch.cuda.stream(torch.cuda.current_stream()),  # restored also after an error
                torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
            ):
                learn(x, max_dead)
        except RuntimeError as error:
            self._failed = graph  # kept: the allocator may still refer to it
            warnings.warn(
                f"training goes on without CUDA graphs, which is slower: {error}", stacklevel=2
            )
        else:
            self._graphs[max_dead] = graph


def rounded(max_dead: int) -> int:
    """`max_dead` rounded up to CHUNK times a power of 2; 0 stays 0."""
    return CHUNK << (-(-max_dead // CHUNK) - 1).bit_length() if max_dead else 0


def graphs_help(sae: SAEConfig, n_seeds: int, batch_size: int) -> bool:
    """Whether CUDA graphs make the training of a group of `n_seeds` on a GPU faster."""
    return ARCHITECTURES[sae.arch].static and n_seeds * batch_size * sae.size <= MAX_PRE_ACTIVATIONS
