"""The one seam between synthetic and real: what activations come from."""

from collections.abc import Sequence
from numbers import Integral
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from synthsae.checks import ConfigError


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


def check(source: ActivationSource) -> None:
    """Raise ConfigError for what is no source."""
    d_model = getattr(source, "d_model", None)
    whole = isinstance(d_model, Integral) and d_model > 0  # type: ignore[operator]
    if not whole or not callable(getattr(source, "batch", None)):
        allowed = "an ActivationSource: `d_model`, 1 or more, and a method `batch`"
        raise ConfigError("source", f"{type(source).__name__} of d_model {d_model!r}", allowed)


def batch(
    source: ActivationSource,
    t: int,
    size: int,
    *,
    seed: int,
    stream: str = "data",
    device: torch.device | str = "cpu",
) -> Tensor:
    """`source.batch`, [size, D]. Raises ConfigError where it is no such tensor."""
    x = source.batch(t, size, seed=seed, stream=stream, device=device)
    return _checked(source, x, (size, source.d_model), device)


def _checked(
    source: ActivationSource, x: Tensor, shape: tuple[int, ...], device: torch.device | str
) -> Tensor:
    """`x` without a graph of its past; raises ConfigError unless it is what was asked for."""
    place = torch.device(device).type
    if isinstance(x, Tensor):
        if (x.dtype, x.shape, x.device.type) == (torch.float32, shape, place):
            return x.detach()
        found = f"{x.dtype} {list(x.shape)} on {x.device.type}"
    else:
        found = type(x).__name__
    allowed = f"a tensor, torch.float32 {list(shape)} on {place}"
    raise ConfigError(f"{type(source).__name__}.batch", found, allowed)


def batches(
    source: ActivationSource,
    t: int,
    size: int,
    data_seeds: Sequence[int],
    device: torch.device | str = "cpu",
    stream: str = "data",
) -> Tensor:
    """Batch `t` of every data seed, [S, B, D]; one that all share is drawn once.

    Raises ConfigError where the source returns something else.
    """
    if len(set(data_seeds)) == 1:
        x = batch(source, t, size, seed=data_seeds[0], stream=stream, device=device)
        return x.expand(len(data_seeds), *x.shape)
    if isinstance(source, SeededSource):
        x = source.batches(t, size, seeds=data_seeds, stream=stream, device=device)
        return _checked(source, x, (len(data_seeds), size, source.d_model), device)
    return torch.stack(
        [batch(source, t, size, seed=s, stream=stream, device=device) for s in data_seeds]
    )
