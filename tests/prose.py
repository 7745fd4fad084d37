"""The numbers of a text, and whether a record has them."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

IGNORED = re.compile(
    r"""`[^`]*`              # code
      | \]\([^)]*\)          # where a link leads
      | \d{4}\.\d{5}         # a paper on arXiv
      | \d{4}-\d\d-\d\d      # a date
    """,
    re.VERBOSE,
)
NUMBER = re.compile(
    r"""(?<![\w.^])(?P<sign>[-+−])?  # not in L0 or R^4, and no minus in rank-8
        (?P<digits>\d{1,3}(?:,\d{3})+|\d*)(?P<decimals>\.\d+)?
        (?P<percent>\s?%)?(?!\w)""",
    re.VERBOSE,
)
WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
WORLDS = re.compile(rf"\b({'|'.join(WORDS)}|\d+) worlds?\b")


@dataclass(frozen=True)
class Number:
    """A number as a text has it.

    Attributes:
        text: the text.
        value: the number; a percentage is a share.
        places: decimals of the value that the text tells.
        signed: whether it has a sign; if not, it may be the size of a negative number.
    """

    text: str
    value: float
    places: int
    signed: bool

    def tells(self, exact: float) -> bool:
        """Whether `exact`, known to four significant digits, is this number when it is rounded."""
        if not self.signed:
            exact = abs(exact)
        recorded = 0.5 * 10.0 ** (math.floor(math.log10(abs(exact))) - 3) if exact else 0.0
        return abs(exact - self.value) <= 0.5 * 10.0**-self.places + recorded


def numbers(text: str) -> Iterator[Number]:
    """The numbers of a text, but for those in code, links, dates and names such as L0."""
    for m in NUMBER.finditer(IGNORED.sub(" ", text)):
        if not (m["digits"] or m["decimals"]):
            continue
        places, scale = len(m["decimals"] or ".") - 1, 1
        if m["percent"]:
            places, scale = places + 2, 100
        size = float(m["digits"].replace(",", "") + (m["decimals"] or "")) / scale
        value = -size if m["sign"] in ("-", "−") else size
        yield Number(m[0].strip(), value, places, m["sign"] is not None)


def worlds(text: str) -> set[int]:
    """Numbers of worlds that a text names."""
    return {WORDS.get(word) or int(word) for word in WORLDS.findall(text)}


def known(record: Mapping[str, Any]) -> list[float]:
    """Every number of a record that a sentence may tell: the finding's, and settings."""
    names = ("finding", "swept", "seeds", "steps", "samples_trained", "samples_evaluated")
    found = [*_leaves([record[name] for name in (*names, "definitions")]), len(record["worlds"])]
    return [x for x in found if math.isfinite(x)]


def untold(text: str, *records: Mapping[str, Any]) -> list[str]:
    """Numbers of `text` that none of the records has."""
    have = [x for record in records for x in known(record)]
    return [n.text for n in numbers(text) if not any(n.tells(x) for x in have)]


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph or of a list."""
    whole = re.sub(r"\s+", " ", re.sub(r"\*\*|\n\s*(?:\d+\.|-)\s", " ", f"\n{text}"))
    return re.split(r"(?<=[.?!])\s+(?=[A-Z`\[])", whole.strip())


def cited(sentence: str) -> list[str]:
    """Names in code inside parentheses: the studies that a sentence rests on."""
    return re.findall(r"`(\w+)`", " ".join(re.findall(r"\(([^()]*)\)", sentence)))


def part(page: str, heading: str) -> str:
    """What stands below a heading of the second level; empty if there is no such heading."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return found[1] if found else ""


def _leaves(value: Any) -> Iterator[float]:
    """Numbers in nested dicts and lists, and in texts such as intervals."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    elif isinstance(value, str):
        yield from (n.value for n in numbers(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
