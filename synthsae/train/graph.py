"""Record a training step as a CUDA graph, which launches many small kernels at once.

A graph repeats recorded kernels on the same memory. Everything that changes between steps must
therefore be in tensors that keep their place: parameters, moments, counters, the learning rate, and
the batch, which is copied into place. Python numbers are constants of the graph. One of them
changes during training, the bound on dead latents, so there is one graph for each rounded bound.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from synthsae.gpu import say_slower
from synthsae.guard import in_words
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

    A step gives the same bits with and without a graph: the first step of each graph is done both
    ways and compared. If recording fails or bits differ, one line on stderr says so, and every
    later step runs without a graph.

    Attributes:
        reason: why steps run without a graph; "" if they do not.

    Args:
        changed: the tensors that `learn` changes.
    """

    def __init__(self, changed: Sequence[Tensor]) -> None:
        self._changed, self.reason = changed, ""
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
            return self._record(learn, self._x, max_dead)
        if max_dead in self._graphs:
            return self._graphs[max_dead].replay()
        self._done[max_dead] += 1
        return learn(self._x, max_dead)

    def _record(self, learn: Learn, x: Tensor, max_dead: int) -> None:
        """Record `learn` as a graph, and do the step without the graph and with it."""
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        try:
            with (
                torch.cuda.stream(torch.cuda.current_stream()),  # restored also after an error
                torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
            ):
                learn(x, max_dead)
        except Exception as error:
            self._give_up(graph, in_words(error))
            return learn(x, max_dead)
        self._graphs[max_dead] = graph
        if reason := self._fault(graph, lambda: learn(x, max_dead)):
            self._give_up(graph, reason)

    def _fault(self, graph: torch.cuda.CUDAGraph, step: Callable[[], None]) -> str:
        """Do `step`; why `graph` does not replay exactly this, or "" if it does."""
        saved = [t.clone() for t in self._changed]  # before the step
        step()
        for mine, tensor in zip(saved, self._changed, strict=True):
            after = tensor.clone()
            tensor.copy_(mine)
            mine.copy_(after)
        pairs, reason = list(zip(self._changed, saved, strict=True)), ""
        try:
            graph.replay()
            if not all(_same_bits(tensor, after) for tensor, after in pairs):
                reason = "a replayed step differs from one without a graph"
        except Exception as error:
            reason = in_words(error)
        for tensor, after in pairs:
            tensor.copy_(after)
        return reason

    def _give_up(self, graph: torch.cuda.CUDAGraph, reason: str) -> None:
        """Run every later step without a graph, and say so."""
        self._failed = graph  # kept: the allocator may still refer to it
        self.reason = reason
        say_slower("a CUDA graph", reason)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two contiguous tensors are equal, NaN included."""
    return torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def rounded(max_dead: int) -> int:
    """`max_dead` rounded up to CHUNK times a power of 2; 0 stays 0."""
    return CHUNK << (-(-max_dead // CHUNK) - 1).bit_length() if max_dead else 0


def graphs_help(sae: SAEConfig, n_seeds: int, batch_size: int) -> bool:
    """Whether CUDA graphs make the training of a group of `n_seeds` on a GPU faster."""
    return ARCHITECTURES[sae.arch].static and n_seeds * batch_size * sae.size <= MAX_PRE_ACTIVATIONS
