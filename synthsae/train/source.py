"""The one seam between synthetic and real: what activations come from."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


class ActivationSource(Protocol):
    """Anything that yields activations: a planted world, a language model, an array on disk."""

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        ...

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of a data seed, [size, D] float32: a function of these arguments alone."""
        ...


@runtime_checkable
class SeededSource(ActivationSource, Protocol):
    """A source that may draw the batches of many seeds at once."""

    def batches(
        self,
        t: int,
        size: int,
        *,
        seeds: Sequence[int],
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of every data seed, [S, size, D]: of each the bits of `batch`."""
        ...


def batches(
    source: ActivationSource,
    t: int,
    size: int,
    data_seeds: Sequence[int],
    device: torch.device | str = "cpu",
    stream: str = "data",
) -> Tensor:
    """Batch `t` of every data seed, [S, B, D]; one that all share is drawn once."""
    if len(set(data_seeds)) == 1:
        x = source.batch(t, size, seed=data_seeds[0], stream=stream, device=device)
        return x.expand(len(data_seeds), *x.shape)
    if isinstance(source, SeededSource):
        return source.batches(t, size, seeds=data_seeds, stream=stream, device=device)
    return torch.stack(
        [source.batch(t, size, seed=s, stream=stream, device=device) for s in data_seeds]
    )
