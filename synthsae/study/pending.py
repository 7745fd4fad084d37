"""Which trainings and scores of a grid a run has to compute, and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import xarray as xr

from synthsae.scores.run import Score
from synthsae.study.cell import Cell, code_of, name_of, records, training_code
from synthsae.study.trainings import Trainings, n_bytes


@dataclass(frozen=True)
class Pending:
    """What has to be computed for one cell.

    Attributes:
        cell: the cell. If a stale training is accepted, `cell.training` names that training.
        scores: names of the scores that have to be computed.
        train: whether the cell's SAEs have to be trained.
        why: which code changed since the cell's earlier training; "" if there was none.
        changed: name of a score that has to be computed again -> which code changed.
        stale: definitions in the code that changed since the accepted stale training.
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
    """What has to be computed for `cell`, given its file and the trainings on disk.

    Args:
        cell: the cell, with hashes of the present code.
        scores: the scores of the study.
        saved: the cell's file; None if there is none.
        trainings: the trainings of the results folder.
        accept_stale: use a training of earlier code where there is one.
    """
    old, stale = _earlier(cell, saved, trainings), tuple[str, ...]()
    if old and accept_stale and _is_usable(old, cell, saved, trainings):
        stale = tuple(_changed(old, cell, trainings))
        cell, old = replace(cell, training=old), ""
    missing = cell.missing(saved)
    train = bool(missing) and trainings.record(cell.training) is None
    known = records(saved)
    codes, changed = dict(cell.codes), {}
    for score in scores:
        name = name_of(score)
        if name in missing & known.keys() and known[name]["code"] != codes[name]:
            changed[name] = _in_words(trainings.changed(known[name]["code"], code_of(score)))
    why = _in_words(_changed(old, cell, trainings)) if train and old else ""
    names = tuple(name for name, _ in cell.codes if name in missing)
    return Pending(cell, names, train, why, changed, stale)


def to_train(work: Sequence[Pending]) -> list[Pending]:
    """The first cell of each training that has to be done: several cells may share a training."""
    return list({p.cell.training: p for p in reversed(work) if p.train}.values())[::-1]


def reasons(work: Sequence[Pending]) -> list[str]:
    """Lines that say which saved results are computed again, and why."""
    again = Counter(p.why for p in work if p.why)
    lines = [
        f"trained again, {n} cells: {why}; --accept-stale keeps what is there"
        for why, n in again.items()
    ]
    scored = Counter(
        f"{name.rpartition('.')[2]}: {why}" for p in work for name, why in p.changed.items()
    )
    return lines + [f"scored again, {n} cells, {what}" for what, n in scored.items()]


def keep(work: Sequence[Pending], trainings: Trainings, limit: int) -> set[str]:
    """Names of the new trainings whose SAEs are saved.

    They are taken in order, as long as they fit into `limit` bytes together with those on disk.
    """
    free, kept = limit - trainings.size(), set()
    for p in to_train(work):
        if (size := n_bytes(p.cell.config)) <= free:
            free -= size
            kept.add(p.cell.training)
    return kept


def _earlier(cell: Cell, saved: xr.Dataset | None, trainings: Trainings) -> str:
    """Name of the last training of the same config by other code, or ""."""
    if trainings.record(cell.training) or not cell.missing(saved):
        return ""
    used = [] if saved is None else [str(saved.attrs.get("training", ""))]
    known = [name for name in [*trainings.names(cell.trained), *used] if name != cell.training]
    return known[-1] if known else ""


def _is_usable(old: str, cell: Cell, saved: xr.Dataset | None, trainings: Trainings) -> bool:
    """Whether an earlier training is enough: its SAEs are on disk, or no score needs them."""
    return bool(trainings.record(old)) or not replace(cell, training=old).missing(saved)


def _changed(old: str, cell: Cell, trainings: Trainings) -> list[str]:
    """Definitions that differ between the code of a training and the present code."""
    code = training_code(cell.config)
    return trainings.changed(old.rpartition("-")[2], code) or ["the code of training"]


def _in_words(names: list[str]) -> str:
    """`a, b and 3 more changed`."""
    if not names:
        return "its code changed"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more} changed"
