"""From rounds to ratios: pure functions of a record."""

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

OURS = "synthsae"


class Spread(NamedTuple):
    """Median and range over rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Row(NamedTuple):
    """One library at one case: rate in 1000 seed-samples a second, our rate over it, the aim."""

    case: str
    library: str
    rate: Spread
    ratio: Spread
    aim: float | None
    dead: float | None
    version: str


def spread(values: list[float]) -> Spread:
    """Median and range of one value a round; raises ValueError where there is none."""
    if not values:
        raise ValueError("values: []; allowed: one round or more")
    return Spread(median(values), min(values), max(values))


def by_round(record: Mapping[str, Any], case: str, library: str, key: str = "rate") -> list[Any]:
    """What a library answered at a case, round by round."""
    found = {
        a["round"]: a[key]
        for a in record["answers"]
        if (a["case"], a["library"]) == (case, library)
    }
    return [found[n] for n in sorted(found)]


def within_rounds(
    ours: list[float], theirs: list[float], of: Callable[[float, float], float]
) -> Spread:
    """Spread of `of(ours, theirs)` in each round, so that a slow minute cannot favour a side."""
    return spread([of(a, b) for a, b in zip(ours, theirs, strict=True)])


def rows(record: Mapping[str, Any]) -> Iterator[Row]:
    """Every library at every case, in the order in which they were timed."""
    for case, plan in record["cases"].items():
        libraries = dict.fromkeys(a["library"] for a in record["answers"] if a["case"] == case)
        ours = by_round(record, case, OURS)
        for library in libraries:
            theirs = by_round(record, case, library)
            dead = [d for d in by_round(record, case, library, "dead") if d is not None]
            yield Row(
                case,
                library,
                spread([rate / 1e3 for rate in theirs]),
                within_rounds(ours, theirs, lambda a, b: a / b),
                plan["aims"].get(library),
                sum(dead) / len(dead) if dead else None,
                by_round(record, case, library, "version")[-1],
            )


def met(record: Mapping[str, Any]) -> tuple[int, int]:
    """Aims that the median ratio reaches, and all aims."""
    aimed = [row for row in rows(record) if row.aim]
    return sum(row.ratio.median >= row.aim for row in aimed if row.aim), len(aimed)
