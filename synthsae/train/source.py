"""The interface of activation sources, which synthetic and real data share."""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthsae.checks import ConfigError


class ActivationSource(Protocol):
    """A source of activations: a planted world, a language model, or an array on disk."""

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
        """Batch `t` of a data seed, [size, D] float32. It depends on these arguments alone.

        Args:
            t: number of the batch, from 0.
            size: number of samples.
            seed: data seed.
            stream: "data" for training or "eval" for evaluation.
            device: where the tensor is made.
        """
        ...


@runtime_checkable
class SeededSource(ActivationSource, Protocol):
    """A source that can draw the batches of several seeds in one call."""

    def batches(
        self,
        t: int,
        size: int,
        *,
        seeds: Sequence[int],
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of every data seed, [S, size, D], with the same bits as `batch` gives."""
        ...


class Passage(NamedTuple):
    """A token with the text before and after it."""

    before: str
    token: str
    after: str


@runtime_checkable
class TextSource(ActivationSource, Protocol):
    """A source whose samples are tokens of a text; `realdata.activations.Activations` is one."""

    @property
    def has_text(self) -> bool:
        """Whether the samples are tokens of a text."""
        ...

    def rows(self, t: int, size: int, *, seed: int, stream: str = "data") -> NDArray[np.int64]:
        """Numbers of the samples in batch `t`, [size]."""
        ...

    def passages(self, rows: NDArray[np.int64]) -> list[Passage]:
        """The tokens of samples of the stream `eval`, in their contexts."""
        ...


def check_source(source: ActivationSource) -> None:
    """Raise ConfigError unless `source` has a positive `d_model` and a method `batch`."""
    d_model = getattr(source, "d_model", None)
    positive = isinstance(d_model, Integral) and d_model > 0  # type: ignore[operator]
    if not positive or not callable(getattr(source, "batch", None)):
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
    """`source.batch` with these arguments, [size, D], checked.

    Raises:
        ConfigError: if the source returns something else than float32 [size, D] on `device`.
    """
    x = source.batch(t, size, seed=seed, stream=stream, device=device)
    return _checked(source, x, (size, source.d_model), device)


def _checked(
    source: ActivationSource, x: Tensor, shape: tuple[int, ...], device: torch.device | str
) -> Tensor:
    """`x` detached from autograd; raises ConfigError unless it is float32 [*shape] on `device`."""
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
    """Batch `t` of every data seed, [S, size, D].

    If all seeds are equal, the batch is drawn once and expanded.

    Args:
        source: where the samples come from.
        t: number of the batch, from 0.
        size: number of samples B.
        data_seeds: the data seed of each SAE, [S].
        device: where the tensor is made.
        stream: "data" or "eval".

    Raises:
        ConfigError: if the source returns a tensor of another type, shape or device.
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
