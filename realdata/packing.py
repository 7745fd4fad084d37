"""From documents to contexts of token ids: packed, training and evaluation apart.

Which documents evaluation gets: every `1 / held_out`-th. Where these are too few or too short, the
text is read again and it gets the last documents that have a share `held_out` of all characters;
where that does not do either, the last share `held_out` of each document.
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
"""Characters tokenised in one call: a tokenizer needs some 100 bytes for each."""
OVERHEAD = 256
"""What a text costs a tokenizer whatever its length, in characters."""
LONG = 2**16
"""Characters of a piece, about."""
AROUND = 64
"""Characters on each side of a cut that must give the same tokens, cut or whole."""
TRIES = 50
SPACES = re.compile(r"(?<=\w) (?=\w)"), re.compile(r"\s"), re.compile("")
"""Where a cut is tried: between words, at any whitespace, anywhere."""
Encode = Callable[[list[str]], Sequence[Any]]
"""From texts to the token ids of each."""
Packed = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Contexts [N, T], and the flat positions in them whose activations are kept, [rows]."""
Parts = Iterator[tuple[str, str, int, int]]
"""A split, a text, and from where to where of it the split gets."""
Packers = dict[str, "Packer"]
NEAR = 1000
"""Characters in which whitespace is looked for where a document is cut in two."""
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


class Watch:
    """What wants to know how packing goes on; here nobody does."""

    def begin(self, held_out: str) -> None:
        """The text is read from its start, and this is held out."""

    def texts(self, texts: list[str]) -> None:
        """These are tokenised."""

    def progress(self, n: int) -> None:
        """So many positions came."""

    def end(self, packers: Packers) -> None:
        """All are full."""


def pack(
    documents: Iterable[str],
    encode: Encode,
    bos: int | None,
    source: SourceConfig,
    watch: Watch | None = None,
) -> dict[str, Packed]:
    """The contexts of `train` and `eval`, from different documents where there are enough.

    Token ids and positions are held in memory, some 20 bytes for each. No more of a document is
    tokenised than is used. `documents` are iterated over anew for each way of holding out. Raises
    ConfigError where the text is too short.
    """
    watch = watch or Watch()
    lengths: list[int] = []
    most = 0
    for held_out, way in WAYS.items():
        if way is _last and len(lengths) < 2:
            continue
        watch.begin(held_out)
        packers = _fill(way(documents, source.held_out, lengths), encode, bos, source, watch)
        if all(p.full for p in packers.values()):
            watch.end(packers)
            return {split: p.packed() for split, p in packers.items()}
        most = max(most, _most(packers, source))
    if most < 2:
        text = f"a longer one: training and evaluation need a context of {source.context} each"
        raise ConfigError("source.text", source.text, text)
    raise ConfigError("source.tokens", source.tokens, f"at most {most}: the text has no more")


def _every(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """Every `1 / share`-th document held out; adds the length of each to `lengths`."""
    for i, text in enumerate(documents):
        lengths.append(len(text))
        yield ("eval" if int((i + 1) * share) > int(i * share) else "train"), text, 0, len(text)


def _last(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """The last documents, which have that share of the characters, held out; not the first."""
    from_last = np.cumsum(lengths[::-1])
    held = int(np.searchsorted(from_last, share * sum(lengths))) + 1
    first = max(1, len(lengths) - held)
    for i, text in enumerate(documents):
        yield ("eval" if i >= first else "train"), text, 0, len(text)


def _ends(documents: Iterable[str], share: float, lengths: list[int]) -> Parts:
    """The last share of each document held out, cut at whitespace if there is any near by."""
    for text in documents:
        at = int(len(text) * (1 - share))
        space = SPACE.search(text, at, at + NEAR)
        cut = space.start() if space else at
        yield "train", text, 0, cut
        yield "eval", text, cut, len(text)


WAYS = {"documents": _every, "last documents": _last, "ends of documents": _ends}
"""Ways of holding out, in the order in which they are tried."""


def _fill(
    parts: Parts, encode: Encode, bos: int | None, source: SourceConfig, watch: Watch
) -> Packers:
    """Packers that are full, or have all of the text."""
    quotas = {"train": n_train(source), "eval": n_eval(source)}
    how = (source.context, bos, source.skip_bos)
    packers = {split: Packer(quota, *how) for split, quota in quotas.items()}
    batch = _Batch(encode, packers, watch)
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
    """Texts that are tokenised in one call."""

    def __init__(self, encode: Encode, packers: Packers, watch: Watch):
        self._encode, self._packers, self._watch = encode, packers, watch
        self._parts: list[tuple[str, str, bool]] = []
        self._size = 0

    def add(self, split: str, text: str, new: bool) -> None:
        """Take a text, or the next part of the latest one where it is not `new`."""
        self._parts.append((split, text, new))
        self._size += len(text) + OVERHEAD
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Tokenise and pack what was taken."""
        if not self._parts:
            return
        texts = [text for _, text, _ in self._parts]
        self._watch.texts(texts)
        for (split, _, new), ids in zip(self._parts, self._encode(texts), strict=True):
            packer = self._packers[split]
            before = packer.n_kept
            packer.add(ids, new)
            self._watch.progress(min(packer.n_kept, packer.quota) - min(before, packer.quota))
        self._parts, self._size = [], 0


def _most(packers: Packers, source: SourceConfig) -> int:
    """The most activations that fit where not all packers are full."""
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
    """Pieces that have the same tokens, one after another, as text[start:stop] in one piece.

    A tokenizer looks at few characters at once: a cut is taken where the text around it gives the
    same tokens in one piece and in two, with the space at the cut or (where a tokenizer puts one
    before each text) without. Where there is no such place the rest is one piece.
    """
    while stop - start > 2 * LONG:
        found = next((c for c in _candidates(text, start + LONG) if (_same(text, c, encode))), None)
        if found is None:
            break
        yield text[start : found[0]]
        start = found[1]
    yield text[start:stop]


def _candidates(text: str, near: int) -> Iterator[tuple[int, int]]:
    """Where a piece may end, and where the next one may begin."""
    for spaces in SPACES:
        for _, at in zip(range(TRIES), spaces.finditer(text, near, near + LONG), strict=False):
            yield at.start(), at.start()
            if at.end() > at.start():
                yield at.start(), at.end()


def _same(text: str, at: tuple[int, int], encode: Encode) -> bool:
    end, start = at
    around = (
        text[end - AROUND : start + AROUND],
        text[end - AROUND : end],
        text[start : start + AROUND],
    )
    whole, before, behind = (list(ids) for ids in encode(list(around)))
    return whole == before + behind
