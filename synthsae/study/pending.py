"""What a run has to compute of a grid, and why: what is missing, or was computed by other code."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import xarray as xr

from synthsae.scores.run import Score
from synthsae.study.cell import Cell, code_of, name_of, records, training_code
from synthsae.study.trainings import Trainings, n_bytes


@dataclass(frozen=True)
class Pending:
    """What one cell lacks.

    Attributes:
        cell: the cell; with stale trainings accepted, on the training that is there.
        scores: names of the scores that are computed.
        train: whether its SAEs are trained for that.
        why: what changed since its training was made; "" where there was none.
        changed: the same by name of a score that was there.
        stale: definitions that changed since the training that is accepted.
    """

    cell: Cell
    scores: tuple[str, ...]
    train: bool
    why: str
    changed: dict[str, str]
    stale: tuple[str, ...] = ()


def pending(
    cell: Cell,
    scores: Sequence[Score],
    saved: xr.Dataset | None,
    trainings: Trainings,
    accept_stale: bool = False,
) -> Pending:
    """What `cell` lacks, with what is `saved` of it and the trainings that are there."""
    old, stale = _earlier(cell, saved, trainings), tuple[str, ...]()
    if old and accept_stale and _serves(old, cell, saved, trainings):
        stale = tuple(_changed(old, cell, trainings))
        cell, old = replace(cell, training=old), ""
    missing = cell.missing(saved)
    train = bool(missing) and trainings.record(cell.training) is None
    known = records(saved)
    changed = {
        name_of(m): _some(trainings.changed(known[name_of(m)]["code"], code_of(m)))
        for m in scores
        if name_of(m) in missing & known.keys()
        and known[name_of(m)]["code"] != dict(cell.codes)[name_of(m)]
    }
    why = _some(_changed(old, cell, trainings)) if train and old else ""
    names = tuple(name for name, _ in cell.codes if name in missing)
    return Pending(cell, names, train, why, changed, stale)


def to_train(work: Sequence[Pending]) -> list[Pending]:
    """The first cell of every training that is to be made; cells may share one."""
    return list({p.cell.training: p for p in reversed(work) if p.train}.values())[::-1]


def reasons(work: Sequence[Pending]) -> list[str]:
    """Why something that was there is computed again, a line a kind."""
    again = Counter(p.why for p in work if p.why)
    lines = [
        f"trained again, {n} cells: {why}; --accept-stale keeps what is there"
        for why, n in again.items()
    ]
    scored = Counter(
        f"{name.rpartition('.')[2]}: {w}" for p in work for name, w in p.changed.items()
    )
    return lines + [f"scored again, {n} cells, {what}" for what, n in scored.items()]


def keep(work: Sequence[Pending], trainings: Trainings, limit: int) -> set[str]:
    """The trainings whose SAEs are kept: the first that fit into `limit` bytes with those there."""
    left, kept = limit - trainings.size(), set()
    for p in to_train(work):
        if (need := n_bytes(p.cell.config)) <= left:
            left -= need
            kept.add(p.cell.training)
    return kept


def _earlier(cell: Cell, saved: xr.Dataset | None, trainings: Trainings) -> str:
    """The training of the same config by other code that was there last, or ""."""
    if trainings.record(cell.training) or not cell.missing(saved):
        return ""
    used = [] if saved is None else [str(saved.attrs.get("training", ""))]
    known = [name for name in [*trainings.names(cell.trained), *used] if name != cell.training]
    return known[-1] if known else ""


def _serves(old: str, cell: Cell, saved: xr.Dataset | None, trainings: Trainings) -> bool:
    """Whether the cell can do with an earlier training: it is there, or nothing is asked of it."""
    return bool(trainings.record(old)) or not replace(cell, training=old).missing(saved)


def _changed(old: str, cell: Cell, trainings: Trainings) -> list[str]:
    """What changed between the code of a training and today's."""
    code = training_code(cell.config)
    return trainings.changed(old.rpartition("-")[2], code) or ["the code of training"]


def _some(names: list[str]) -> str:
    """The first names in words, and how many more there are."""
    if not names:
        return "its code changed"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more} changed"
