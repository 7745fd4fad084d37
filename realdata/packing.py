"""From documents to contexts of token ids: packed, training and evaluation apart.

Which documents evaluation gets: every `1 / held_out`-th. Where these are too few or too short, the
text is read again and it gets the last documents that have a share `held_out` of all characters;
where that does not do either, the last share `held_out` of each document.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realdata import pieces
from realdata.config import SourceConfig
from realdata.pieces import Encode
from synthsae.checks import ConfigError

AT_ONCE = 2**18
"""Characters tokenised in one call: a tokenizer needs some 100 bytes for each."""
OVERHEAD = 256
"""What a text costs a tokenizer whatever its length, in characters."""
Packed = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Contexts [N, T], and the flat positions in them whose activations are kept, [rows]."""
Parts = Iterator[tuple[str, str]]
"""Texts, each with the split that it is for."""
Packers = dict[str, "Packer"]
SPACE = re.compile(r"\s")


class Packer:
    """Packs documents one after another, BOS before each, into contexts that begin with BOS.

    A document goes on in the next context where one ends; what is left at the end is dropped.
    Activations are wanted at `quota` positions: all, but where BOS is put if `skip` says so. An
    equal id in a document is the document's.
    """

    def __init__(self, quota: int, length: int, bos: int | None, skip: bool):
        self.quota, self.length, self.skip = quota, length, skip
        self._bos = np.array([] if bos is None else [bos], np.int32)
        self.contexts: list[NDArray[np.int32]] = []
        self._put: list[NDArray[np.bool_]] = []  # where BOS was put in each context
        self.n_kept = 0
        self._left = np.array([], np.int32), np.array([], bool)

    @property
    def full(self) -> bool:
        """Whether there are as many positions as were asked for."""
        return self.n_kept >= self.quota

    def add(self, ids: NDArray[np.int32] | list[int], new: bool = True) -> None:
        """Take a document, or where it is not `new` the next part of the latest one; none is
        needed once it is full.
        """
        if self.full:
            return
        bos = self._bos if new else self._bos[:0]
        tokens = np.concatenate([self._left[0], bos, np.array(ids, np.int32)])
        put = np.zeros(len(tokens), bool)
        put[: len(self._left[1])] = self._left[1]
        put[len(self._left[1]) : len(self._left[1]) + len(bos)] = True
        start = 0
        while len(tokens) - start >= self.length and not self.full:
            lead = self._bos[: int(not put[start])]
            end = start + self.length - len(lead)
            self.contexts.append(np.concatenate([lead, tokens[start:end]]))
            self._put.append(np.concatenate([np.ones(len(lead), bool), put[start:end]]))
            self.n_kept += int(self._wanted(self._put[-1]).sum())
            start = end
        self._left = tokens[start:], put[start:]

    def _wanted(self, put: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return ~put if self.skip else np.ones(put.shape, bool)

    def packed(self) -> Packed:
        """The contexts, and the first `quota` positions that are wanted."""
        tokens = np.stack(self.contexts)
        return tokens, np.flatnonzero(self._wanted(np.stack(self._put)))[: self.quota]

    def count(self, token: int) -> tuple[int, int]:
        """How many of the documents' tokens are this one, and how many there are."""
        tokens, put = np.stack(self.contexts), np.stack(self._put)
        return int(((tokens == token) & ~put).sum()), int((~put).sum())


def pack(
    documents: Iterable[str],
    encode: Encode,
    bos: int | None,
    source: SourceConfig,
    progress: Callable[[int], object] = lambda tokens: None,
    note: Callable[[str, Packers], object] = lambda held_out, packers: None,
) -> dict[str, Packed]:
    """The contexts of `train` and `eval`, from different documents where there are enough.

    Token ids and positions are held in memory, some 20 bytes for each. No more of a document is
    tokenised than is used. `documents` are iterated over anew for each way of holding out.
    `progress` gets the number of positions that were added, `note` what was held out, and the
    packers. Raises ConfigError where the text is too short.
    """
    lengths: list[int] = []
    most = 0
    for held_out in ("documents", "last documents", "ends of documents"):
        parts = WAYS[held_out](documents, source.held_out, lengths)
        packers = _fill(parts, encode, bos, source, progress)
        if all(p.full for p in packers.values()):
            note(held_out, packers)
            return {split: p.packed() for split, p in packers.items()}
        most = max(most, _most(packers, source))
        progress(-sum(min(p.n_kept, p.quota) for p in packers.values()))
    if most < 2:
        text = f"a longer one: training and evaluation need a context of {source.context} each"
        raise ConfigError("source.text", source.text, text)
    raise ConfigError("source.tokens", source.tokens, f"at most {most}: the text has no more")


def _every(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """Every `1 / share`-th document held out; adds the length of each to `lengths`."""
    for i, text in enumerate(documents):
        lengths.append(len(text))
        yield ("eval" if int((i + 1) * share) > int(i * share) else "train"), text


def _last(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """The last documents, which have that share of the characters, held out; not the first."""
    from_last = np.cumsum(lengths[::-1])
    held = int(np.searchsorted(from_last, share * sum(lengths))) + 1
    first = max(1, len(lengths) - held)
    for i, text in enumerate(documents):
        yield ("eval" if i >= first else "train"), text


def _ends(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """The last share of each document held out, cut at whitespace if there is any near by."""
    for text in documents:
        at = int(len(text) * (1 - share))
        space = SPACE.search(text, at, at + NEAR)
        cut = space.start() if space else at
        yield "train", text[:cut]
        yield "eval", text[cut:]


WAYS = {"documents": _every, "last documents": _last, "ends of documents": _ends}
NEAR = 1000


def _fill(
    parts: Parts,
    encode: Encode,
    bos: int | None,
    source: SourceConfig,
    progress: Callable[[int], object],
) -> Packers:
    """Packers that are full, or have all of the text."""
    quotas = {"train": source.n_train, "eval": source.n_eval}
    how = (source.context, bos, source.skip_bos)
    packers = {split: Packer(quota, *how) for split, quota in quotas.items()}
    batch = _Batch(encode, packers, progress)
    for split, text in parts:
        if not packers[split].full:
            for i, piece in enumerate(pieces.cut(text, encode)):
                batch.add(split, piece, new=i == 0)
                if packers[split].full:
                    break
        if all(p.full for p in packers.values()):
            return packers
    batch.flush()
    return packers


class _Batch:
    """Texts that are tokenised in one call."""

    def __init__(self, encode: Encode, packers: Packers, progress: Callable[[int], object]):
        self._encode, self._packers, self._progress = encode, packers, progress
        self._texts: list[tuple[str, str, bool]] = []
        self._size = 0

    def add(self, split: str, text: str, new: bool) -> None:
        """Take a text, or the next part of the latest one where it is not `new`."""
        self._texts.append((split, text, new))
        self._size += len(text) + OVERHEAD
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Tokenise and pack what was taken."""
        found = self._encode([text for _, text, _ in self._texts])
        for (split, _, new), ids in zip(self._texts, found, strict=True):
            packer = self._packers[split]
            before = packer.n_kept
            packer.add(ids, new)
            self._progress(min(packer.n_kept, packer.quota) - min(before, packer.quota))
        self._texts, self._size = [], 0


def _most(packers: Packers, source: SourceConfig) -> int:
    """The most activations that fit where not all packers are full."""
    share = {"train": 1 - source.held_out, "eval": source.held_out}
    bounds = [(p.n_kept + 1) / share[split] for split, p in packers.items() if not p.full]
    most = min(source.tokens, 1 + int(min(bounds)))
    while most >= 2:
        asked = replace(source, tokens=most)
        if asked.n_train <= packers["train"].n_kept and asked.n_eval <= packers["eval"].n_kept:
            return most
        most -= 1
    return 0
