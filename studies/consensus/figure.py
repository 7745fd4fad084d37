"""The two lists of a consensus: how much of the truth they hold, and how often they are wrong."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

LEVEL = 0.95
NONE = 3e-5
"""Where a share of 0 stands on a log axis."""
ENOUGH = 20
"""Entries below which a setting is too small to be called the worst."""
POINTS = 6
"""Groups of features of like rates in the figure."""
COLOURS = (GREY, GREEN, BLUE, ORANGE, "black")
MARKERS = "osD^v"


def totals(ds: xr.Dataset) -> xr.Dataset:
    """Sums over all dimensions but the number of seeds and the level."""
    return ds.sum([d for d in ds.dims if d not in ("n_used", "level")])


def recall(ds: xr.Dataset, name: str, *keep: str) -> xr.DataArray:
    """Mean recall of the planted `name` ("feature" or "block"), [n_used, level, *keep]."""
    values = ds[f"{name}_recall"]
    return values.mean([d for d in values.dims if d not in ("n_used", "level", *keep)])


def recall_interval(ds: xr.Dataset, name: str, *keep: str) -> Interval:
    """`recall` with its t interval over worlds; NaN ends for one world."""
    worlds = [d for d in ("world_seed",) if d in ds.dims]
    return interval_of(recall(ds, name, *keep, *worlds))


def share_wrong(ds: xr.Dataset, kind: str, level: float = 0.95) -> Interval:
    """Wrong entries over all listed ones, with the exact interval of Clopper and Pearson.

    As if entries were independent; those of one block are not, and intervals are then too short.
    """
    n = int(ds[f"{kind}_listed"].sum())
    if not n:
        return Interval(*np.full(3, np.nan))
    test = binomtest(int(ds[f"{kind}_wrong"].sum()), n)
    ends = test.proportion_ci(level, method="exact")
    return Interval(np.array(test.statistic), np.array(ends.low), np.array(ends.high))


class Worst(NamedTuple):
    """The setting whose lists are wrong most often: in words, its share, its counts."""

    setting: str
    share: Interval
    wrong: int
    listed: int


def worst(ds: xr.Dataset, kind: str) -> Worst | None:
    """The number of seeds (and rank) most often wrong, of those with `ENOUGH` entries; or None.

    `ds` is of one level. The sets of seeds of one number are disjoint; those of two share seeds.
    """
    counts = ds[[f"{kind}_wrong", f"{kind}_listed"]]
    counts = counts.sum([d for d in counts.dims if d not in ("n_used", "rank")])
    found = []
    for _, part in slices(counts, ()):
        where = (
            f"{int(part.n_used)} seeds" + ("rank" in ds.dims) * f" at rank {part['rank'].item()}"
        )
        wrong, listed = (int(part[f"{kind}_{what}"]) for what in ("wrong", "listed"))
        found.append(Worst(where, share_wrong(part, kind), wrong, listed))
    return max(
        (w for w in found if w.listed >= ENOUGH), key=lambda w: w.wrong / w.listed, default=None
    )


def lists_by_seeds(ds: xr.Dataset) -> Figure:
    """Left, what the lists hold over the number of seeds; right, errors against the level.

    Without a planted truth, how long the lists are.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(10.4, 3.7), layout="constrained")
        if "identities_wrong" not in ds:
            _lengths(figure.subplots(), ds)
            return figure
        rates, ranks, errors = figure.subplots(1, 3)
        _features(rates, ds.sel(level=LEVEL))
        _blocks(ranks, ds.sel(level=LEVEL))
        _errors(errors, ds)
    return figure


def _features(ax: Axes, ds: xr.Dataset) -> None:
    """Recall of isolated features, those of like rates together, a line a number of seeds."""
    few = max(1, ds.sizes["feature"] // POINTS)
    rate = ds.feature_rate
    rate = (
        rate.mean([d for d in rate.dims if d != "feature"])
        .coarsen(feature=few, boundary="pad")
        .mean()
    )
    for i, (n, colour, marker) in enumerate(zip(ds.n_used.values, COLOURS, MARKERS, strict=False)):
        each = ds[["feature_recall"]].sel(n_used=n).coarsen(feature=few, boundary="pad").mean()
        found = recall_interval(each, "feature", "feature")
        _curve(ax, rate * 1.05**i, found, colour, marker, f"{n} seeds")  # beside each other
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter("{x:.1%}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("how often the feature fires")
    ax.set_ylabel("listed")
    _share(ax)
    _legend(ax, 3)
    last = recall(ds, "feature").isel(n_used=-1)
    many = ds.n_used.values[-1]
    ax.set_title(f"identifiable latents: {number(last, '.0%')}\nof the features from {many} seeds")


def _curve(ax: Axes, x: ArrayLike, score: Interval, colour: str, marker: str, label: str) -> None:
    """Points with their intervals, joined."""
    ax.errorbar(
        x, score.estimate, error_bars(score), fmt=f"{marker}-", color=colour, label=label,
        ms=4.5, lw=1.2, capsize=2,
    )  # fmt: skip


def _blocks(ax: Axes, ds: xr.Dataset) -> None:
    """Recall of blocks over the number of seeds, a line a rank."""
    x = np.arange(ds.sizes["n_used"])
    ranks = np.atleast_1d(ds["rank"].values) if "rank" in ds.coords else [None]
    for i, (rank, colour, marker) in enumerate(zip(ranks, COLOURS, MARKERS, strict=False)):
        part = ds.sel(rank=rank) if "rank" in ds.dims else ds
        found = recall_interval(part, "block")
        _curve(ax, x + 0.06 * i, found, colour, marker, f"rank {rank}")  # beside each other
    ax.set_xticks(x, [str(n) for n in ds.n_used.values])
    ax.set_xlabel("seeds")
    _share(ax)
    if len(ranks) > 1:
        _legend(ax, 4)
    last = recall(ds, "block").isel(n_used=-1)
    many = ds.n_used.values[-1]
    ax.set_title(f"reproducible subspaces: {number(last, '.0%')}\nof the blocks from {many} seeds")


def _errors(ax: Axes, ds: xr.Dataset) -> None:
    """Share of wrong entries against what the level allows, on both lists."""
    allowed = 1 - ds.level.values
    ends = np.array([0.8 * allowed.min(), 1.25 * allowed.max()])
    ax.plot(ends, ends, color="black", lw=1)
    ax.fill_between(ends, ends, 1, color=GREY, alpha=0.15, lw=0)
    ax.annotate("more errors than stated", (0.06, 0.93), xycoords="axes fraction", fontsize=8)
    for kind, colour, marker, shift in (
        ("identities", BLUE, "o", 0.93),
        ("subspaces", ORANGE, "s", 1.0),
    ):
        each = [share_wrong(ds.sel(level=b), kind) for b in ds.level.values]
        label = {"identities": "latents", "subspaces": "subspaces"}[kind]
        _rates(ax, allowed * shift, each, marker, colour, label)
    least = worst(ds.sel(level=LEVEL), "subspaces")
    if least:
        text = f"… worst: {least.setting}, {least.wrong} of {least.listed}"
        _rates(ax, [1.1 * (1 - LEVEL)], [least.share], "s", "black", text, mfc="white")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(allowed, [f"{b:.0%}" for b in allowed])
    ax.set_yticks([NONE, 1e-4, 1e-3, 1e-2, 1e-1, 1], ["none", ".01%", ".1%", "1%", "10%", "100%"])
    ax.minorticks_off()
    ax.axhline(1.8 * NONE, color=GREY, lw=0.8, ls=":")  # the axis is broken below
    ax.set_ylim(0.7 * NONE, 1)
    ax.set_xlabel("errors allowed: 1 - level")
    ax.set_ylabel("errors found, 95% interval")
    _legend(ax, 2)
    latents, subspaces = (
        number(share_wrong(ds.sel(level=LEVEL), kind).estimate, form)
        for kind, form in (("identities", ".2%"), ("subspaces", ".1%"))
    )
    ax.set_title(f"wrong on lists at 95%: {latents} of latents,\n{subspaces} of subspaces")


def _rates(
    ax: Axes, x: ArrayLike, each: list[Interval], marker: str, colour: str, label: str, **look: Any
) -> None:
    """Shares with their intervals; what is below `NONE` is drawn there."""
    middle, low, high = (np.maximum(v, NONE) for v in np.array(each, dtype=float).T)
    bars = [middle - low, high - middle]
    ax.errorbar(x, middle, bars, fmt=marker, color=colour, ms=4.5, capsize=3, label=label, **look)


def _lengths(ax: Axes, ds: xr.Dataset) -> None:
    """Mean length of both lists over the number of seeds."""
    sums, x = totals(ds.sel(level=LEVEL)), np.arange(ds.sizes["n_used"])
    for kind, colour, marker in (("identities", BLUE, "o"), ("subspaces", ORANGE, "s")):
        y = sums[f"{kind}_listed"] / sums.seed_sets
        ax.plot(x, y, marker=marker, color=colour, label=kind)
    ax.set_xticks(x, [str(n) for n in ds.n_used.values])
    ax.set_xlabel("seeds")
    ax.set_ylabel(f"entries of a list at {LEVEL:.0%}")
    ax.legend()


def _legend(ax: Axes, columns: int) -> None:
    """Below the axes, off the data."""
    ax.legend(
        ncols=columns,
        handlelength=1.5,
        columnspacing=1,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
    )


def _share(ax: Axes) -> None:
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
