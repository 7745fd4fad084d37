"""The two lists of a consensus: how much of the truth they hold, and how often they are wrong."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter
from numpy.typing import ArrayLike
from synthsae.studies.consensus.counts import (
    LEVEL,
    recall,
    recall_interval,
    share_wrong,
    totals,
    worst,
)

from synthsae.plot.common import BLUE, GREEN, GREY, STYLE, error_bars
from synthsae.plot.phrases import number
from synthsae.stats import Interval

NONE = 3e-5
"""Where a share of 0 stands on a log axis."""
POINTS = 6
"""Groups of features of like rates in the figure."""
MARKERS = "osD^v"
LISTS = {"identities": ("latents", BLUE, "o"), "subspaces": ("subspaces", GREEN, "s")}
"""Name, colour and marker of a list."""


def lists_by_seeds(ds: xr.Dataset) -> Figure:
    """Features listed over their rate, blocks over the number of seeds, errors over the level.

    Without a planted truth, how long the lists are.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        if "identities_wrong" not in ds:
            _lengths(figure.subplots(), ds)
            return figure
        rates, ranks, errors = figure.subplots(1, 3)
        _features(rates, ds.sel(level=LEVEL))
        _blocks(ranks, ds.sel(level=LEVEL))
        _errors(errors, ds)
        figure.suptitle(_message(ds.sel(level=LEVEL)), x=0.01, ha="left", fontsize=11)
    return figure


def errors_by_setting(ds: xr.Dataset) -> Figure:
    """The supplement: errors of both lists at `LEVEL`, for every number of seeds and rank.

    Without a planted truth, how long the lists are at every level.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes, known = figure.subplots(1, 2), "identities_wrong" in ds
        for ax, kind in zip(axes, LISTS, strict=True):
            if known:
                _settings(ax, ds.sel(level=LEVEL), kind)
            else:
                _levels(ax, ds, kind)
        title = "Lengths of both lists at every level"
        if known:
            title = f"Wrong entries of {LEVEL:.0%} lists in each setting (numbers: wrong of listed)"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _message(at: xr.Dataset) -> str:
    """What the longest lists hold, and their errors, as a sentence."""
    n = at.n_used.values[-1]
    features, blocks = (number(recall(at, w).isel(n_used=-1), ".0%") for w in ("feature", "block"))
    wrong = [
        f"{int(at[f'{kind}_wrong'].sum())} of {int(at[f'{kind}_listed'].sum()):,} {name}"
        for kind, (name, _, _) in LISTS.items()
    ]
    return (
        f"From {n} seeds the lists hold {blocks} of the blocks and {features} of the features.\n"
        f"Wrong are {' and '.join(wrong)}, where {1 - LEVEL:.0%} are allowed"
    )


def _shades(colour: str, n: int) -> list[tuple[float, ...]]:
    """From pale to the colour itself."""
    full = np.array(to_rgb(colour))
    return [tuple(1 - (1 - full) * s) for s in np.linspace(0.45, 1, n)] if n > 1 else [tuple(full)]


def _features(ax: Axes, ds: xr.Dataset) -> None:
    """Recall of isolated features, those of like rates together, a line a number of seeds."""
    few = max(1, ds.sizes["feature"] // POINTS)
    rate = ds.feature_rate
    rate = (
        rate.mean([d for d in rate.dims if d != "feature"])
        .coarsen(feature=few, boundary="pad")
        .mean()
    )
    numbers = ds.n_used.values
    looks = zip(numbers, _shades(BLUE, len(numbers)), MARKERS, strict=False)
    for i, (n, colour, marker) in enumerate(looks):
        each = ds[["feature_recall"]].sel(n_used=n).coarsen(feature=few, boundary="pad").mean()
        found = recall_interval(each, "feature", "feature")
        _curve(ax, rate * 1.05**i, found, colour, marker, f"{n} seeds")  # beside each other
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter("{x:.1%}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("how often the feature fires")
    ax.set_ylabel(f"share that is on the list ({LEVEL:.0%} level)")
    _share(ax)
    _legend(ax, 3)
    ax.set_title("latents: share of the features\nthat the list holds")


def _curve(ax: Axes, x: ArrayLike, score: Interval, colour: Any, marker: str, label: str) -> None:
    """Points with their intervals, joined."""
    ax.errorbar(
        x, score.estimate, error_bars(score), fmt=f"{marker}-", color=colour, label=label,
        ms=4.5, lw=1.2, capsize=2,
    )  # fmt: skip


def _blocks(ax: Axes, ds: xr.Dataset) -> None:
    """Recall of blocks over the number of seeds, a line a rank."""
    x = np.arange(ds.sizes["n_used"])
    ranks = np.atleast_1d(ds["rank"].values) if "rank" in ds.coords else [None]
    shades = _shades(GREEN, len(ranks))
    for i, (rank, colour, marker) in enumerate(zip(ranks, shades, MARKERS, strict=False)):
        part = ds.sel(rank=rank) if "rank" in ds.dims else ds
        found = recall_interval(part, "block")
        _curve(ax, x + 0.1 * i, found, colour, marker, f"rank {rank}")  # beside each other
    ax.set_xticks(x, [str(n) for n in ds.n_used.values])
    ax.set_xlabel("seeds")
    _share(ax)
    if len(ranks) > 1:
        _legend(ax, 2)
    ax.set_title("subspaces: share of the blocks\nthat the list holds")


def _errors(ax: Axes, ds: xr.Dataset) -> None:
    """Share of wrong entries against what the level allows, on both lists."""
    allowed = 1 - ds.level.values
    ends = np.array([0.8 * allowed.min(), 1.25 * allowed.max()])
    ax.plot(ends, ends, color="black", lw=1)
    ax.fill_between(ends, ends, 1, color=GREY, alpha=0.15, lw=0)
    ax.annotate("more errors than allowed", (0.05, 0.94), xycoords="axes fraction", fontsize=8)
    for shift, (kind, (label, colour, marker)) in zip((0.93, 1.0), LISTS.items(), strict=True):
        each = [share_wrong(ds.sel(level=b), kind) for b in ds.level.values]
        _rates(ax, allowed * shift, each, marker, colour, label)
    least = worst(ds.sel(level=LEVEL), "subspaces")
    if least:
        text = f"the worst setting: subspaces, {least.setting} ({least.wrong} of {least.listed})"
        text = text.replace("subspaces, ", "subspaces,\n")
        _rates(ax, [1.1 * (1 - LEVEL)], [least.share], "s", "black", text, mfc="white")
    _log_share(ax)
    ax.set_xscale("log")
    ax.set_xticks(allowed, [f"{b:.0%}" for b in allowed])
    ax.minorticks_off()
    ax.set_xlabel("errors that the level allows")
    ax.set_ylabel("errors found")
    _legend(ax, 2)
    ax.set_title("wrong entries of the lists,\nat five levels")


def _settings(ax: Axes, ds: xr.Dataset, kind: str) -> None:
    """Share of wrong entries over the number of seeds, a marker a rank, with the counts."""
    name, colour, _ = LISTS[kind]
    ranks = np.atleast_1d(ds["rank"].values) if "rank" in ds.coords else [None]
    x = np.arange(ds.sizes["n_used"])
    shades = _shades(colour, len(ranks))
    for i, (rank, shade, marker) in enumerate(zip(ranks, shades, MARKERS, strict=False)):
        part = ds.sel(rank=rank) if "rank" in ds.dims else ds
        each = [share_wrong(part.sel(n_used=n), kind) for n in ds.n_used.values]
        at = x + 0.2 * (i - (len(ranks) - 1) / 2)
        _rates(ax, at, each, marker, shade, f"rank {rank}")
        for place, n in zip(at, ds.n_used.values, strict=True):
            wrong, n_listed = (
                int(part.sel(n_used=n)[f"{kind}_{w}"].sum()) for w in ("wrong", "listed")
            )
            if n_listed:
                text = f"{wrong} of {n_listed}"
                ax.text(place, 1.5, text, rotation=90, fontsize=8, ha="center", va="bottom")
    ax.axhline(1 - LEVEL, color="black", lw=1)
    _log_share(ax)
    ax.set_xlim(-0.5, len(x) - 0.5)
    ax.set_ylim(0.7 * NONE, 50)
    ax.set_xticks(x, [str(n) for n in ds.n_used.values])
    ax.set_xlabel("seeds")
    ax.set_ylabel(f"wrong {name} (line: allowed)")
    _legend(ax, 4)


def _rates(
    ax: Axes, x: ArrayLike, each: list[Interval], marker: str, colour: Any, label: str, **look: Any
) -> None:
    """Shares with their intervals; what is below `NONE` is drawn there."""
    middle, low, high = (np.maximum(v, NONE) for v in np.array(each, dtype=float).T)
    ax.errorbar(
        x, middle, (middle - low, high - middle), fmt=marker, color=colour, label=label, ms=5,
        capsize=2, **look,
    )  # fmt: skip


def _log_share(ax: Axes) -> None:
    """A logarithmic axis of shares that is broken at the bottom, where 0 stands."""
    ax.set_yscale("log")
    ax.set_yticks([NONE, 1e-4, 1e-3, 1e-2, 1e-1, 1], ["none", ".01%", ".1%", "1%", "10%", "100%"])
    ax.minorticks_off()
    ax.axhline(1.8 * NONE, color=GREY, lw=0.8, ls=":")
    ax.set_ylim(0.7 * NONE, 1)


def _lengths(ax: Axes, ds: xr.Dataset) -> None:
    """Mean length of both lists over the number of seeds."""
    sums, x = totals(ds.sel(level=LEVEL)), np.arange(ds.sizes["n_used"])
    for kind, (label, colour, marker) in LISTS.items():
        y = sums[f"{kind}_listed"] / sums.seed_sets
        ax.plot(x, y, marker=marker, color=colour, label=label)
    ax.set_xticks(x, [str(n) for n in ds.n_used.values])
    ax.set_xlabel("seeds")
    ax.set_ylabel(f"entries of a list at {LEVEL:.0%}")
    ax.legend()


def _levels(ax: Axes, ds: xr.Dataset, kind: str) -> None:
    """Mean length of one list over the number of seeds, a line a level."""
    (name, colour, _), sums = LISTS[kind], totals(ds)
    x, shades = np.arange(ds.sizes["n_used"]), _shades(colour, ds.sizes["level"])
    for level, shade, marker in zip(ds.level.values, shades, MARKERS, strict=False):
        y = sums[f"{kind}_listed"].sel(level=level) / sums.seed_sets
        ax.plot(x, y, marker=marker, color=shade, label=f"level {level:.0%}")
    ax.set_xticks(x, [str(n) for n in ds.n_used.values])
    ax.set_xlabel("seeds")
    ax.set_ylabel(f"{name} on the list")
    _legend(ax, 3)


def _legend(ax: Axes, columns: int) -> None:
    """Below the axes, off the data."""
    ax.legend(
        ncols=columns,
        handlelength=1.2,
        columnspacing=0.8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.15),
    )


def _share(ax: Axes) -> None:
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
