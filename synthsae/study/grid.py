"""A study (a question, a base config, axes, scores and a figure) and the grid of its cells."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from reprlib import repr as shortened
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

    from synthsae.plot.finding import Finding


@renamed("measures", "scores")
@dataclass(frozen=True)
class Study:
    """A study. A study file defines one under the name `study`.

    Attributes:
        question: one sentence, printed first.
        base: the config of every cell, before the axes change it.
        axes: dotted name of a config field -> its values. The product of the axes is the grid. The
            last part of a field's name is its dimension in the Dataset. An axis that does not apply
            to the source is left out: a language model has no `world.rank`.
        scores: functions of a `scores.run.Run` that return labelled Datasets, which are merged into
            one for each cell. A score is left out of cells that lack what the score needs
            (`scores.needs.requires`).
        figure: draws the saved Dataset: at most four panels, whose title says the finding.
        finding: says in one or two sentences what the saved Dataset shows.
        quick: fields and axes that `--quick` changes.
        needs: what every cell must have for the figure and the finding (`scores.needs`). `plan`
            refuses a grid that lacks it.
        follows: fields that follow from the others, unless the user sets them: dotted name ->
            function of the config of a cell that returns the value.
        axes_of: more axes for one kind of source: `model`, `arrays`, `file` or `world`.
        supplement: draws what the headline figure leaves out.
    """

    question: str
    base: Config
    axes: Mapping[str, Sequence[Any]]
    scores: Sequence[Score]
    figure: "Callable[[xr.Dataset], Figure]"
    finding: "Callable[[xr.Dataset], Finding]"
    quick: Mapping[str, Any] = field(default_factory=dict)
    needs: Sequence[Need] = ()
    axes_of: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    follows: Mapping[str, Callable[[Config], Any]] = field(default_factory=dict)
    supplement: "Callable[[xr.Dataset], Figure] | None" = None


@dataclass(frozen=True)
class Grid:
    """The cells of one run.

    Attributes:
        axes: dimension name -> values, in order.
        cells: one per point of the product of the axes; the last axis varies fastest.
        digest: hash of all cells.
        fields: dimension name -> dotted name of the config field.
        quick: whether this is the small version of the study.
        notes: one line for each axis and score that is left out.
    """

    axes: dict[str, list[Any]]
    cells: list[Cell]
    digest: str
    fields: dict[str, str]
    quick: bool
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}={shortened(values)}" for name, values in self.axes.items())
        return f"Grid({axes}, {len(self.cells)} cells, {self.digest})"


def plan(
    study: Study, changes: Mapping[str, Any], *, quick: bool = False, here: bool = True
) -> Grid:
    """The grid of `study` after `changes`. Every config is checked before anything runs.

    Args:
        study: the study.
        changes: dotted name of a config field -> value, or list of values for an axis.
        quick: plan the small version of the study.
        here: whether the cells run on this machine; if so, their devices are checked too.

    Raises:
        ConfigError: a bad value, a field without effect, or a grid that the study cannot use.
    """
    settings, notes = _settings(study, changes, quick)
    axes = {f: v for f, v in settings.items() if isinstance(v, list)}
    values: dict[str, list[Any]] = {f.rsplit(".", 1)[-1]: [] for f in axes}
    for f in axes:
        if len(alike := [g for g in axes if g.rsplit(".", 1)[-1] == f.rsplit(".", 1)[-1]]) > 1:
            raise ConfigError("axes", ", ".join(alike), "fields whose names end differently")
    configs = list(_points(study, settings))
    _check(study, changes, axes, configs)
    cells: dict[str, Cell] = {}
    for config in configs:
        if here:
            resolve_device(config.train.device)
        cell = Cell.of(config, study.scores)
        if cells.setdefault(cell.digest, cell).config != config:
            raise ConfigError("axes", ", ".join(axes), "fields that the numbers depend on")
        for f, distinct in zip(axes, values.values(), strict=True):
            value = config.get(f)
            if value not in distinct:
                distinct.append(value)
    unique = list(cells.values())
    notes += left_out(study.scores, [cell.config for cell in unique])
    fields = dict(zip(values, axes, strict=True))
    return Grid(values, unique, digest(*cells), fields, quick, tuple(notes))


def _settings(
    study: Study, changes: Mapping[str, Any], quick: bool
) -> tuple[dict[str, Any], list[str]]:
    """Field -> value, or list of values for an axis; and notes on axes that do not apply here."""
    default = {**study.axes, **(study.quick if quick else {})}
    for kind in kinds(study.base, {**default, **changes}):
        default = {**study.axes_of.get(kind, {}), **default}
    axes = {f for f in default if f in study.axes or isinstance(default[f], list | tuple)}
    settings = {
        f: (list(v) if isinstance(v, list | tuple) else [v])
        if f in axes or isinstance(v, list | tuple)
        else v
        for f, v in {**default, **changes}.items()
    }
    configs = list(_points(study, settings))
    without_effect = set.intersection(*(set(config.decided) for config in configs))
    without_effect &= set(default) - set(changes)  # `_check` refuses what the user has set
    lost = [f for f in default if f in without_effect & axes]
    sources = " and ".join(dict.fromkeys(config.kind.what for config in configs))
    notes = [f"on {sources}: no axes {', '.join(lost)}"] if lost else []
    return {f: v for f, v in settings.items() if f not in without_effect}, notes


def _points(study: Study, settings: Mapping[str, Any]) -> Iterator[Config]:
    """The configs of the product of the axes, with what follows; the last axis varies fastest."""
    axes = {f: v for f, v in settings.items() if isinstance(v, list)}
    fixed = {f: v for f, v in settings.items() if f not in axes}
    for choice in product(*axes.values()):
        config = override(study.base, fixed | dict(zip(axes, choice, strict=True)))
        more = {f: value for f, value in study.follows.items() if f not in settings}
        yield override(config, {f: value(config) for f, value in more.items()})


def kinds(base: Config, settings: Mapping[str, Any]) -> list[str]:
    """Kinds of the sources that `settings` select: `model`, `arrays`, `file` or `world`."""
    named = (settings.get(f"source.{name}", base.get(f"source.{name}")) for name in NAMING)
    points = product(*(v if isinstance(v, list | tuple) else [v] for v in named))
    found = (next((k for k, v in zip(NAMING, p, strict=True) if v), "world") for p in points)
    return list(dict.fromkeys(found))


def _check(
    study: Study,
    changes: Mapping[str, Any],
    axes: Mapping[str, list[Any]],
    configs: Sequence[Config],
) -> None:
    """Raise ConfigError for a change without effect on any cell, and for what the study needs."""
    for f in changes:  # the study's own settings may be without effect
        if all(why := [config.decided.get(f) for config in configs]):
            raise ConfigError(f, changes[f], str(why[0]))
    for f, values in axes.items():
        unaffected = [config.kind.what for config in configs if f in config.decided]
        if unaffected and len(values) > 1:
            allowed = f"one value, as it has no effect on the cells on {unaffected[0]}"
            raise ConfigError(f, values, allowed)
    for need in study.needs:
        need(configs)
