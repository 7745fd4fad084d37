"""From documents to contexts of token ids: packed, training and evaluation apart."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from realdata.config import SourceConfig
from synthsae.checks import ConfigError

AT_ONCE = 256
"""Documents tokenised in one call."""
Packed = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Contexts [N, T], and the flat positions in them whose activations are kept, [rows]."""


class Packer:
    """Packs documents one after another, BOS before each, into contexts that begin with BOS.

    A document goes on in the next context where one ends; what is left at the end is dropped.
    Activations are wanted at `quota` positions: all, but for BOS where `skip` says so.
    """

    def __init__(self, quota: int, length: int, bos: int | None, skip: bool):
        self.quota, self.length, self.bos = quota, length, bos
        self.skip = bos if skip else None
        self.contexts: list[NDArray[np.int32]] = []
        self.n_kept = 0
        self._left: list[int] = []

    @property
    def full(self) -> bool:
        """Whether there are as many positions as were asked for."""
        return self.n_kept >= self.quota

    def add(self, document: list[int]) -> None:
        """Take one document; none is needed once it is full."""
        if self.full:
            return
        ids = self._left + ([] if self.bos is None else [self.bos]) + document
        start = 0
        while len(ids) - start >= self.length and not self.full:
            lead = [] if self.bos in (None, ids[start]) else [self.bos]
            end = start + self.length - len(lead)
            self._append(np.array(lead + ids[start:end], np.int32))
            start = end
        self._left = ids[start:]

    def _append(self, context: NDArray[np.int32]) -> None:
        self.contexts.append(context)
        self.n_kept += int(self._wanted(context).sum())

    def _wanted(self, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        return np.ones(tokens.shape, bool) if self.skip is None else tokens != self.skip

    def packed(self) -> Packed:
        """The contexts, and the first `quota` positions that are wanted."""
        tokens = np.stack(self.contexts)
        return tokens, np.flatnonzero(self._wanted(tokens))[: self.quota]


def pack(
    documents: Iterable[str],
    encode: Callable[[list[str]], list[list[int]]],
    bos: int | None,
    source: SourceConfig,
    progress: Callable[[int], object] = lambda tokens: None,
) -> dict[str, Packed]:
    """The contexts of `train` and `eval`, from different documents, evenly spread.

    Token ids and positions are held in memory, some 20 bytes for each. Raises ConfigError where the
    text is too short.
    """
    quotas = {"train": source.n_train, "eval": source.n_eval}
    how = (source.context, bos, source.skip_bos)
    packers = {split: Packer(quota, *how) for split, quota in quotas.items()}
    for i, ids in enumerate(_encoded(documents, encode)):
        held = int((i + 1) * source.held_out) > int(i * source.held_out)
        packer = packers["eval" if held else "train"]
        before = packer.n_kept
        packer.add(ids)
        progress(min(packer.n_kept, packer.quota) - min(before, packer.quota))
        if all(p.full for p in packers.values()):
            return {split: p.packed() for split, p in packers.items()}
    share = {"train": 1 - source.held_out, "eval": source.held_out}
    enough = int(min(p.n_kept / share[split] for split, p in packers.items()))
    if enough < 2:
        text = f"a longer one: training and evaluation need a context of {source.context} each"
        raise ConfigError("source.text", source.text, text)
    raise ConfigError("source.tokens", source.tokens, f"at most {enough}: the text has no more")


def _encoded(
    documents: Iterable[str], encode: Callable[[list[str]], list[list[int]]]
) -> Iterator[list[int]]:
    those = iter(documents)
    while some := list(islice(those, AT_ONCE)):
        yield from encode(some)
