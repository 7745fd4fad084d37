"""A study (a question, a base config, axes, scores and a figure) and the grid of its cells."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import xarray as xr

from synthsae.checks import ConfigError
from synthsae.config import Config, digest, override
from synthsae.config.sources import NAMING
from synthsae.deprecated import renamed
from synthsae.scores.needs import Need, left_out
from synthsae.scores.run import Score
from synthsae.study.cell import Cell
from synthsae.train import resolve_device

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@renamed("measures", "scores")
@dataclass(frozen=True)
class Study:
    """What a study file defines, under the name `study`.

    Attributes:
        question: one sentence, printed first.
        base: the config of a cell, before the axes.
        axes: values of config fields by dotted name; their product is the grid, and the last part
            of a field's name is its dimension in the Dataset. Those that say nothing of the source
            are left out: a model has no `world.rank`.
        scores: functions of a `results.Run` that return labelled Datasets, merged in a cell;
            those that need what a cell has not (`needs.requires`) are left out of it.
        figure: draws the saved Dataset.
        finding: says in one sentence what the saved Dataset shows.
        quick: fields and axes that `--quick` changes.
        needs: what the cells must have so that the figure and the finding can be made
            (`synthsae.scores.needs`); a plan without is refused.
        axes_of: more axes for one kind of source: `model`, `arrays`, `file` or `world`.
    """

    question: str
    base: Config
    axes: Mapping[str, Sequence[Any]]
    scores: Sequence[Score]
    figure: "Callable[[xr.Dataset], Figure]"
    finding: Callable[[xr.Dataset], str]
    quick: Mapping[str, Any] = field(default_factory=dict)
    needs: Sequence[Need] = ()
    axes_of: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """The cells of one call.

    Attributes:
        axes: dimension name -> values, in order.
        cells: one for each point of the product of the axes, the last axis fastest.
        digest: hash of all cells.
        fields: dimension name -> dotted name of the config's field.
        quick: whether it is the small version of its study.
        notes: axes of the study and scores that are left out, a line each.
    """

    axes: dict[str, list[Any]]
    cells: list[Cell]
    digest: str
    fields: dict[str, str]
    quick: bool
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}={short(values)}" for name, values in self.axes.items())
        return f"Grid({axes}, {len(self.cells)} cells, {self.digest})"


def plan(
    study: Study, changes: Mapping[str, Any], *, quick: bool = False, here: bool = True
) -> Grid:
    """The grid of `study` with `changes` made: a field's value, or a list of them for an axis.

    Every cell's config is checked here, before anything runs, and its device too if the cells are
    going to run `here`, on this machine: raises ConfigError.
    """
    settings, notes = _settings(study, changes, quick)
    axes = {f: v for f, v in settings.items() if isinstance(v, list)}
    values: dict[str, list[Any]] = {f.rsplit(".", 1)[-1]: [] for f in axes}
    for f in axes:
        if len(alike := [g for g in axes if g.rsplit(".", 1)[-1] == f.rsplit(".", 1)[-1]]) > 1:
            raise ConfigError("axes", ", ".join(alike), "fields whose names end differently")
    configs = list(_points(study.base, settings))
    _check(study, changes, axes, configs)
    cells: dict[str, Cell] = {}
    for config in configs:
        if here:
            resolve_device(config.train.device)
        cell = Cell.of(config, study.scores)
        if cells.setdefault(cell.digest, cell).config != config:
            raise ConfigError("axes", ", ".join(axes), "fields that the numbers depend on")
        for f, seen in zip(axes, values.values(), strict=True):
            value = config.get(f)
            if value not in seen:
                seen.append(value)
    kept = list(cells.values())
    notes += left_out(study.scores, [cell.config for cell in kept])
    fields = dict(zip(values, axes, strict=True))
    return Grid(values, kept, digest(*cells), fields, quick, tuple(notes))


def _settings(
    study: Study, changes: Mapping[str, Any], quick: bool
) -> tuple[dict[str, Any], list[str]]:
    """What is set, an axis as a list, and which axes of the study say nothing of the source."""
    own = {**study.axes, **(study.quick if quick else {})}
    for kind in kinds(study.base, {**own, **changes}):
        own = {**study.axes_of.get(kind, {}), **own}
    is_axis = {f for f in own if f in study.axes or isinstance(own[f], list | tuple)}
    settings = {
        f: (list(v) if isinstance(v, list | tuple) else [v])
        if f in is_axis or isinstance(v, list | tuple)
        else v
        for f, v in {**own, **changes}.items()
    }
    configs = list(_points(study.base, settings))
    idle = set.intersection(*(set(config.decided) for config in configs)) & set(own) - set(changes)
    lost = [f for f in own if f in idle & is_axis]
    where = " and ".join(dict.fromkeys(config.kind.what for config in configs))
    notes = [f"on {where}: no axes {', '.join(lost)}"] if lost else []
    return {f: v for f, v in settings.items() if f not in idle}, notes


def _points(base: Config, settings: Mapping[str, Any]) -> Iterator[Config]:
    """The configs of the product of the axes, the last one fastest."""
    axes = {f: v for f, v in settings.items() if isinstance(v, list)}
    fixed = {f: v for f, v in settings.items() if f not in axes}
    for choice in product(*axes.values()):
        yield override(base, fixed | dict(zip(axes, choice, strict=True)))


def kinds(base: Config, settings: Mapping[str, Any]) -> list[str]:
    """The kinds of the sources that `settings` of a study name."""
    named = (settings.get(f"source.{name}", base.get(f"source.{name}")) for name in NAMING)
    each = product(*(v if isinstance(v, list | tuple) else [v] for v in named))
    kinds = (next((k for k, v in zip(NAMING, some, strict=True) if v), "world") for some in each)
    return list(dict.fromkeys(kinds))


def _check(
    study: Study,
    changes: Mapping[str, Any],
    axes: Mapping[str, list[Any]],
    configs: Sequence[Config],
) -> None:
    """Raise ConfigError for what has no effect on any cell, and for what the study lacks."""
    for f in changes:  # not those of `quick`, which are the study's
        if all(why := [config.decided.get(f) for config in configs]):
            raise ConfigError(f, changes[f], str(why[0]))
    for f, found in axes.items():
        none = [config.kind.what for config in configs if f in config.decided]
        if none and len(found) > 1:
            raise ConfigError(f, found, f"one value, as it says nothing of the cells on {none[0]}")
    for need in study.needs:
        need(configs)
