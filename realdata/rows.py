"""The rows of a source: how many there are, how many are held out, and reading them by number."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from realdata.arrays import CHUNK, shape
from synthsae.config.sources import SourceConfig


class Rows:
    """Rows [n, D] of several arrays, [rows, D] each, one after another; read as float32.

    The arrays are usually memory-mapped. uint16 holds the bits of bfloat16, which NumPy lacks.
    """

    def __init__(self, parts: Sequence[NDArray]):
        self.parts = list(parts)
        self.starts = np.cumsum([0, *map(len, parts)])
        self.d_model = int(parts[0].shape[1])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows with these numbers, [len(at), D]."""
        out = np.empty((len(at), self.d_model), np.float32)
        part = np.searchsorted(self.starts, at, side="right") - 1
        for i in np.unique(part):
            here = part == i
            out[here] = widen(self.parts[i][at[here] - self.starts[i]])
        return out

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """All rows in order, at most `CHUNK` at a time, [rows, D] each."""
        for part in self.parts:
            for i in range(0, len(part), CHUNK):
                yield widen(part[i : i + CHUNK])


def widen(x: NDArray) -> NDArray[np.float32]:
    """`x` as float32: floats (infinite beyond its range), or uint16 bits of bfloat16."""
    if x.dtype != np.uint16:
        with np.errstate(over="ignore", invalid="ignore"):
            return x.astype(np.float32)
    return (x.astype(np.uint32) << 16).view(np.float32)


def n_rows(source: SourceConfig) -> int:
    """Number of activations: those to harvest, or the rows of an array."""
    if not source.arrays:
        return source.tokens
    return shape(source.arrays)[0]


def n_eval(source: SourceConfig) -> int:
    """Number of activations held out."""
    n = n_rows(source)
    return min(max(1, round(n * source.held_out)), n - 1)


def n_train(source: SourceConfig) -> int:
    """Number of activations to train on, before rows beyond `max_norm` are left out."""
    return n_rows(source) - n_eval(source)
