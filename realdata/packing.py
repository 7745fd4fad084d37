"""Pack documents into contexts of token ids, separately for training and evaluation.

Evaluation gets every `1 / held_out`-th document. If these are too few or too short, the text is
read again, and evaluation gets the last documents with a share `held_out` of all characters. If
these are too short as well, evaluation gets the last share `held_out` of each document.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realdata.rows import n_eval, n_train
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig

AT_ONCE = 2**18
"""Number of characters tokenised in one call: a tokenizer needs about 100 bytes for each."""
OVERHEAD = 256
"""Fixed cost of a text in a tokenizer, in characters."""
PIECE = 2**16
"""Approximate number of characters of a piece of a long document."""
AROUND = 64
"""Number of characters on each side of a split whose tokens are compared with and without it."""
TRIES = 50
"""Number of places of one kind at which a split is tried."""
SPACES = re.compile(r"(?<=\w) (?=\w)"), re.compile(r"\s"), re.compile("")
"""Places at which a split is tried, in order: between words, at any whitespace, anywhere."""
Encode = Callable[[list[str]], Sequence[Any]]
"""A function from texts to the token ids of each text."""
Packed = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Contexts [N, T], and the flat positions in them whose activations are kept, [rows]."""
Parts = Iterator[tuple[str, str, int, int]]
"""Tuples of a split, a text, and the range of characters, [start, stop), that the split gets."""
Packers = dict[str, "Packer"]
"""The packer of each split."""
SPACE_WITHIN = 1000
"""Number of characters in which whitespace is looked for, to divide a document in two."""
SPACE = re.compile(r"\s")


class Packer:
    """Packs documents one after another, BOS before each, into contexts that begin with BOS.

    A document that does not fit continues in the next context. The incomplete context at the end
    is dropped.

    Args:
        quota: number of positions whose activations are kept.
        length: number of tokens in a context, T.
        bos: id of BOS, or None.
        skip: leave out the positions where packing puts BOS; an equal id in a document is kept.
    """

    def __init__(self, quota: int, length: int, bos: int | None, skip: bool):
        self.quota, self.length, self.skip = quota, length, skip
        self._bos = np.array([] if bos is None else [bos], np.int32)
        self.contexts: list[NDArray[np.int32]] = []
        self._is_bos: list[NDArray[np.bool_]] = []  # where packing put BOS in each context
        self.n_kept = 0
        self._rest = np.array([], np.int32), np.array([], bool)  # tokens, and which are BOS

    @property
    def full(self) -> bool:
        """Whether `quota` positions are packed."""
        return self.n_kept >= self.quota

    def add(self, ids: NDArray[np.int32] | list[int], new: bool = True) -> None:
        """Add the ids of a `new` document, or of the next part of the latest one.

        Does nothing once the packer is full.
        """
        if self.full:
            return
        bos = self._bos if new else self._bos[:0]
        tokens = np.concatenate([self._rest[0], bos, np.array(ids, np.int32)])
        is_bos = np.zeros(len(tokens), bool)
        is_bos[: len(self._rest[1])] = self._rest[1]
        is_bos[len(self._rest[1]) : len(self._rest[1]) + len(bos)] = True
        start = 0
        while len(tokens) - start >= self.length and not self.full:
            lead = self._bos[: int(not is_bos[start])]
            end = start + self.length - len(lead)
            self.contexts.append(np.concatenate([lead, tokens[start:end]]))
            self._is_bos.append(np.concatenate([np.ones(len(lead), bool), is_bos[start:end]]))
            self.n_kept += int(self._kept(self._is_bos[-1]).sum())
            start = end
        self._rest = tokens[start:], is_bos[start:]

    def _kept(self, is_bos: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which positions are kept, in the shape of `is_bos`."""
        return ~is_bos if self.skip else np.ones(is_bos.shape, bool)

    def packed(self) -> Packed:
        """The contexts, and the first `quota` kept positions in them."""
        tokens = np.stack(self.contexts)
        return tokens, np.flatnonzero(self._kept(np.stack(self._is_bos)))[: self.quota]

    def count(self, token: int) -> tuple[int, int]:
        """Number of occurrences of `token` in the packed documents, and their number of tokens."""
        tokens, is_bos = np.stack(self.contexts), np.stack(self._is_bos)
        return int(((tokens == token) & ~is_bos).sum()), int((~is_bos).sum())


class Listener:
    """Is told about the progress of `pack`; this base class ignores it."""

    def begin(self, held_out: str) -> None:
        """Called when the text is read from its start; `held_out` names what evaluation gets."""

    def texts(self, texts: list[str]) -> None:
        """Called when these texts are tokenised."""

    def progress(self, n: int) -> None:
        """Called when `n` more positions are packed."""

    def end(self, packers: Packers) -> None:
        """Called when all packers are full."""


def pack(
    documents: Iterable[str],
    encode: Encode,
    bos: int | None,
    source: SourceConfig,
    listener: Listener | None = None,
) -> dict[str, Packed]:
    """The contexts of `train` and `eval`, from different documents if there are enough.

    Token ids and positions are held in memory, about 20 bytes for each. A long document is
    tokenised only as far as it is used.

    Args:
        documents: texts; iterated over again for each way of holding out.
        encode: the tokenizer.
        bos: id of BOS, or None.
        source: the configuration.
        listener: is told about the progress.

    Raises:
        ConfigError: if the text is too short.
    """
    listener = listener or Listener()
    lengths: list[int] = []
    most = 0
    for held_out, split_documents in HELD_OUT.items():
        if split_documents is _last and len(lengths) < 2:
            continue
        listener.begin(held_out)
        packers = _fill(
            split_documents(documents, source.held_out, lengths), encode, bos, source, listener
        )
        if all(p.full for p in packers.values()):
            listener.end(packers)
            return {split: p.packed() for split, p in packers.items()}
        most = max(most, _most_activations(packers, source))
    if most < 2:
        text = f"a longer text: training and evaluation need a context of {source.context} each"
        raise ConfigError("source.text", source.text, text)
    raise ConfigError("source.tokens", source.tokens, f"at most {most}: the text has no more")


def _every_nth(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """Hold out every `1 / share`-th document; appends the length of each to `lengths`."""
    for i, text in enumerate(documents):
        lengths.append(len(text))
        yield ("eval" if int((i + 1) * share) > int(i * share) else "train"), text, 0, len(text)


def _last(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """Hold out the last documents that have that share of the characters, never the first."""
    from_last = np.cumsum(lengths[::-1])
    held = int(np.searchsorted(from_last, share * sum(lengths))) + 1
    first = max(1, len(lengths) - held)
    for i, text in enumerate(documents):
        yield ("eval" if i >= first else "train"), text, 0, len(text)


def _ends_of_each(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """Hold out the last share of each document, divided at whitespace if there is any nearby."""
    for text in documents:
        at = int(len(text) * (1 - share))
        space = SPACE.search(text, at, at + SPACE_WITHIN)
        middle = space.start() if space else at
        yield "train", text, 0, middle
        yield "eval", text, middle, len(text)


HELD_OUT = {"documents": _every_nth, "last documents": _last, "ends of documents": _ends_of_each}
"""What is held out -> the function that does it, in the order in which they are tried."""


def _fill(
    parts: Parts, encode: Encode, bos: int | None, source: SourceConfig, listener: Listener
) -> Packers:
    """Fill the packers of both splits, until they are full or the text ends."""
    quotas = {"train": n_train(source), "eval": n_eval(source)}
    how = (source.context, bos, source.skip_bos)
    packers = {split: Packer(quota, *how) for split, quota in quotas.items()}
    batch = _Batch(encode, packers, listener)
    for split, text, start, stop in parts:
        if not packers[split].full:
            for i, piece in enumerate(pieces(text, start, stop, encode)):
                batch.add(split, piece, new=i == 0)
                if packers[split].full:
                    break
        if all(p.full for p in packers.values()):
            return packers
    batch.flush()
    return packers


class _Batch:
    """A batch of texts, which are tokenised in one call and then packed."""

    def __init__(self, encode: Encode, packers: Packers, listener: Listener):
        self._encode, self._packers, self._listener = encode, packers, listener
        self._parts: list[tuple[str, str, bool]] = []
        self._size = 0

    def add(self, split: str, text: str, new: bool) -> None:
        """Add the text of a `new` document, or the next part of the latest one."""
        self._parts.append((split, text, new))
        self._size += len(text) + OVERHEAD
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Tokenise and pack the texts that were added."""
        if not self._parts:
            return
        texts = [text for _, text, _ in self._parts]
        self._listener.texts(texts)
        for (split, _, new), ids in zip(self._parts, self._encode(texts), strict=True):
            packer = self._packers[split]
            before = packer.n_kept
            packer.add(ids, new)
            self._listener.progress(min(packer.n_kept, packer.quota) - min(before, packer.quota))
        self._parts, self._size = [], 0


def _most_activations(packers: Packers, source: SourceConfig) -> int:
    """The largest `source.tokens` that the text allows, if not all packers are full."""
    share = {"train": 1 - source.held_out, "eval": source.held_out}
    bounds = [(p.n_kept + 1) / share[split] for split, p in packers.items() if not p.full]
    most = min(source.tokens, 1 + int(min(bounds)))
    while most >= 2:
        asked = replace(source, tokens=most)
        if n_train(asked) <= packers["train"].n_kept and n_eval(asked) <= packers["eval"].n_kept:
            return most
        most -= 1
    return 0


def pieces(text: str, start: int, stop: int, encode: Encode) -> Iterator[str]:
    """Pieces of text[start:stop] that together have the same tokens as the whole.

    A tokenizer looks at few characters at once. The text is therefore split where its neighbourhood
    has the same tokens in one piece and in two. The space at a split is kept, or dropped for a
    tokenizer that adds one before each text. If no split is possible, the rest is one piece.
    """
    while stop - start > 2 * PIECE:
        found = next(
            (c for c in _candidates(text, start + PIECE) if (_same(text, c, encode))), None
        )
        if found is None:
            break
        yield text[start : found[0]]
        start = found[1]
    yield text[start:stop]


def _candidates(text: str, near: int) -> Iterator[tuple[int, int]]:
    """Yield candidates for a split: the end of a piece, and the start of the next."""
    for spaces in SPACES:
        for _, at in zip(range(TRIES), spaces.finditer(text, near, near + PIECE), strict=False):
            yield at.start(), at.start()
            if at.end() > at.start():
                yield at.start(), at.end()


def _same(text: str, at: tuple[int, int], encode: Encode) -> bool:
    """Whether a split at `at` (end of a piece, start of the next) keeps the tokens around it."""
    end, start = at
    around = (
        text[end - AROUND : start + AROUND],
        text[end - AROUND : end],
        text[start : start + AROUND],
    )
    whole, before, after = (list(ids) for ids in encode(list(around)))
    return whole == before + after
