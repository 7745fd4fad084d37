"""The reader: harvested activations, or arrays at hand, as a source that training can use."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realdata import arrays, shuffle
from realdata.cache import SPLITS, Folder
from realdata.normal import Normal, Statistics, statistics
from realdata.rows import Rows, n_train
from synthsae.checks import one_of
from synthsae.config.sources import SourceConfig

if TYPE_CHECKING:
    from realdata.model import LanguageModel

STREAMS = {"data": "train", "eval": "eval"}
"""Which rows a stream draws from."""


@dataclass(frozen=True)
class Split:
    """Rows [n, D], and where they come from.

    Attributes:
        rows: the activations as they are in the model.
        left_out: rows that the cut leaves out, in order.
        contexts: token ids, [N, T]; None for arrays.
        positions: where in the contexts a row is, flat, [n]; None for arrays.
    """

    rows: Rows
    left_out: NDArray[np.int64]
    contexts: NDArray[np.int32] | None = None
    positions: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows) - len(self.left_out)

    def stored(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of rows among all that are stored, from those among the rows left in."""
        before = self.left_out - np.arange(len(self.left_out))
        return at + np.searchsorted(before, at, side="right")


class Activations:
    """An `ActivationSource` on disk: memory-mapped, shuffled across all shards, shared by seeds.

    Stream `data` has the training rows, `eval` those of documents held out. The rows of a stream
    are numbered from 0, without those that the cut leaves out. Each comes once an epoch, in an
    order that the seed and the epoch determine.

    Attributes:
        source: the configuration.
        manifest: how the harvest was made; empty for arrays.
        statistics: what was found in it, and which rows the cut leaves out.
        normal: centre and scale, and how to undo them.
        splits: `train` and `eval`.
    """

    def __init__(
        self,
        source: SourceConfig,
        splits: dict[str, Split],
        found: Statistics,
        manifest: dict[str, Any],
    ):
        self.source, self.splits, self.manifest = source, splits, manifest
        self.statistics, self.normal = found, Normal(found, source)

    @classmethod
    def open(cls, source: SourceConfig) -> "Activations":
        """The reader of `source`, harvested where that was not done. Raises ConfigError."""
        if source.model:
            from realdata.harvest import harvest

            folder = harvest(source)
            manifest = folder.manifest() or {}
            rows = {split: Rows(folder.shards(split)) for split in SPLITS}
        else:
            array = arrays.mapped(source.arrays)
            folder, manifest = Folder(source), {}
            array = array if isinstance(array, np.ndarray) else folder.copy(array)
            rows = {"train": Rows([array[: n_train(source)]])}
            rows["eval"] = Rows([array[n_train(source) :]])
        found = statistics(folder, rows, source)
        splits = {
            split: Split(
                rows[split],
                np.array(found.cut[split], np.int64),
                folder.load(f"{split}-tokens.npy"),
                folder.load(f"{split}-positions.npy"),
            )
            for split in SPLITS
        }
        return cls(source, splits, found, manifest)

    @property
    def about(self) -> dict[str, Any]:
        """What became of rows and text, for the record: `Statistics.about`, and the harvest's."""
        return self.statistics.about | {"text": self.manifest.get("text", {})}

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.splits["train"].rows.d_model

    @property
    def n_train(self) -> int:
        """Rows of the stream `data`."""
        return len(self.splits["train"])

    @property
    def n_eval(self) -> int:
        """Rows of the stream `eval`."""
        return len(self.splits["eval"])

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
        return self.read(self.rows(t, size, seed=seed, stream=stream), stream, device)

    def rows(self, t: int, size: int, *, seed: int, stream: str = "data") -> NDArray[np.int64]:
        """The numbers of the rows in a batch, [size]."""
        return shuffle.rows(len(self._split(stream)), t * size, size, seed=seed, stream=stream)

    def read(
        self, rows: NDArray[np.int64], stream: str = "eval", device: torch.device | str = "cpu"
    ) -> Tensor:
        """Rows of a stream as SAEs see them, centred and scaled, [len(rows), D] float32."""
        split = self._split(stream)
        x = torch.from_numpy(split.rows.read(split.stored(rows)))
        return self.normal.apply(x.to(device))

    def contexts(self, stream: str = "eval") -> NDArray[np.int32]:
        """The token ids of all contexts of a stream, [N, T]. Raises ValueError for arrays."""
        return self._text(stream)[0]

    def places(
        self, rows: NDArray[np.int64], stream: str = "eval"
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Context and position of each row, [len(rows)] each. Raises ValueError for arrays."""
        contexts, positions = self._text(stream)
        context, position = np.divmod(
            positions[self._split(stream).stored(rows)], contexts.shape[1]
        )
        return context, position

    def tokens(self, rows: NDArray[np.int64], stream: str = "eval") -> NDArray[np.int32]:
        """The token id at each row, [len(rows)]. Raises ValueError for arrays."""
        return np.asarray(self.contexts(stream)[self.places(rows, stream)])

    @cached_property
    def model(self) -> "LanguageModel":
        """The model that was harvested, and its tokenizer, loaded. Raises ValueError for arrays."""
        from realdata.model import LanguageModel

        self._text("eval")
        return LanguageModel(self.source)

    def _split(self, stream: str) -> Split:
        one_of("stream", stream, STREAMS)
        return self.splits[STREAMS[stream]]

    def _text(self, stream: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        split = self._split(stream)
        if split.contexts is None or split.positions is None:
            raise ValueError(f"source: {self.source.arrays}; allowed: a language model, for tokens")
        return split.contexts, split.positions
