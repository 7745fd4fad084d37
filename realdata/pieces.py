"""Pieces of a long document: it is tokenised no further than it is used, in little memory."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

LONG = 2**16
"""Characters of a piece, about."""
AROUND = 64
"""Characters on each side of a cut that must give the same tokens, cut or whole."""
TRIES = 50
SPACES = re.compile(r"(?<=\w) (?=\w)"), re.compile(r"\s"), re.compile("")
"""Where a cut is tried: between words, at any whitespace, anywhere."""
Encode = Callable[[list[str]], Sequence[Any]]
"""From texts to the token ids of each."""


def cut(text: str, start: int, stop: int, encode: Encode) -> Iterator[str]:
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
