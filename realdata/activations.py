"""`Activations`: harvested activations, or an array on disk, as a source for training."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realdata import arrays
from realdata.cache import SPLITS, Folder
from realdata.normal import Normal, Statistics, statistics
from realdata.rows import Rows, n_train
from synthsae.checks import ConfigError, one_of
from synthsae.config.sources import SourceConfig
from synthsae.train import shuffle
from synthsae.train.source import Passage

if TYPE_CHECKING:
    from realdata.model import LanguageModel

STREAMS = {"data": "train", "eval": "eval"}
"""The split that each stream of batches draws from."""


@dataclass(frozen=True)
class Split:
    """Rows [n, D] of one split, and the tokens that they belong to.

    Attributes:
        rows: the activations as they are in the model.
        left_out: sorted numbers of the rows whose norm is beyond `max_norm`.
        contexts: token ids, [N, T]; None for arrays.
        positions: index of each row's token in the flattened contexts, [n]; None for arrays.
    """

    rows: Rows
    left_out: NDArray[np.int64]
    contexts: NDArray[np.int32] | None = None
    positions: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows) - len(self.left_out)

    def stored(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers among all stored rows, from numbers among the rows that are not left out."""
        before = self.left_out - np.arange(len(self.left_out))
        return at + np.searchsorted(before, at, side="right")


class Activations:
    """An `ActivationSource` on disk, memory-mapped, with rows shuffled across all shards.

    The stream `data` has the training rows, the stream `eval` the held-out rows. The rows of a
    stream are numbered from 0, without those beyond `max_norm`. Each row comes once in an epoch;
    the seed and the epoch determine the order.

    Attributes:
        source: the configuration.
        manifest: how the harvest was made; empty for arrays.
        statistics: mean and norms of the rows, and the rows that are left out.
        normal: centring and scaling, and their inverse.
        splits: the splits `train` and `eval`.
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
        """The activations of `source`; a model's are harvested where they are not cached yet.

        Raises:
            ConfigError: the model, text or array cannot be read, or the harvest would not fit.
        """
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
                np.array(found.left_out[split], np.int64),
                folder.load(f"{split}-tokens.npy"),
                folder.load(f"{split}-positions.npy"),
            )
            for split in SPLITS
        }
        return cls(source, splits, found, manifest)

    @property
    def about(self) -> dict[str, Any]:
        """What results record of the source: `Statistics.about`, and the harvest's text counts."""
        return self.statistics.about | {"text": self.manifest.get("text", {})}

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.splits["train"].rows.d_model

    @property
    def n_train(self) -> int:
        """Number of rows in the stream `data`."""
        return len(self.splits["train"])

    @property
    def n_eval(self) -> int:
        """Number of rows in the stream `eval`."""
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
        """Batch `t` of a data seed, [size, D] float32; it depends on these arguments alone."""
        return self.read(self.rows(t, size, seed=seed, stream=stream), stream, device)

    def rows(self, t: int, size: int, *, seed: int, stream: str = "data") -> NDArray[np.int64]:
        """Numbers of the rows in batch `t`, [size]."""
        return shuffle.rows(len(self._split(stream)), t * size, size, seed=seed, stream=stream)

    def read(
        self, rows: NDArray[np.int64], stream: str = "eval", device: torch.device | str = "cpu"
    ) -> Tensor:
        """The rows with these numbers, centred and scaled for SAEs, [len(rows), D] float32."""
        split = self._split(stream)
        x = torch.from_numpy(split.rows.read(split.stored(rows)))
        return self.normal.apply(x.to(device))

    @property
    def has_text(self) -> bool:
        """Whether the rows are tokens of a text, and not those of an array."""
        return bool(self.source.model)

    def contexts(self, stream: str = "eval") -> NDArray[np.int32]:
        """Token ids of all contexts of a stream, [N, T]. Raises ConfigError for arrays."""
        return self._text(stream)[0]

    def places(
        self, rows: NDArray[np.int64], stream: str = "eval"
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Context number and position in it of each row, [len(rows)] each.

        Raises ConfigError for arrays.
        """
        contexts, positions = self._text(stream)
        context, position = np.divmod(
            positions[self._split(stream).stored(rows)], contexts.shape[1]
        )
        return context, position

    def tokens(self, rows: NDArray[np.int64], stream: str = "eval") -> NDArray[np.int32]:
        """Token id of each row, [len(rows)]. Raises ConfigError for arrays."""
        return np.asarray(self.contexts(stream)[self.places(rows, stream)])

    def passages(self, rows: NDArray[np.int64], around: int = 10) -> list[Passage]:
        """The tokens of held-out rows with the text before and after them, [len(rows)].

        Raises ConfigError for arrays.

        Args:
            rows: numbers of rows of the stream `eval`.
            around: tokens shown on each side.
        """
        contexts, tokenizer = self.contexts(), self.model.tokenizer
        found = []
        for number, at in zip(*self.places(rows), strict=True):
            ids = contexts[number]
            parts = ids[max(0, at - around) : at], ids[at : at + 1], ids[at + 1 : at + 1 + around]
            found.append(Passage(*(tokenizer.decode(part.tolist()) for part in parts)))
        return found

    @cached_property
    def model(self) -> "LanguageModel":
        """The harvested model and its tokenizer, loaded. Raises ConfigError for arrays."""
        from realdata.model import LanguageModel

        self._text("eval")
        return LanguageModel(self.source)

    def _split(self, stream: str) -> Split:
        one_of("stream", stream, STREAMS)
        return self.splits[STREAMS[stream]]

    def _text(self, stream: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        split = self._split(stream)
        if split.contexts is None or split.positions is None:
            raise ConfigError("source", self.source.arrays, "a language model with a text")
        return split.contexts, split.positions
