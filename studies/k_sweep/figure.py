"""Stability over training at a k that samples need, and at one far above it."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.architectures import look
from synthsae.plot.common import STYLE, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

KEEP = ("arch", "k", "n_steps", "seed", "seed_a", "seed_b", "block", "angle")


def parts(ds: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """The Dataset by architecture, k and steps for each value of its other dimensions, named."""
    ds = ds.expand_dims([d for d in ("arch", "k", "n_steps") if d not in ds.dims])
    return list(slices(ds.sortby(["k", "n_steps"]), KEEP))


def stability_over_training(ds: xr.Dataset) -> Figure:
    """Training steps against p_hat of isolated features, a panel for each k, and against EV.

    A row of panels for every value of the dimensions that the study does not have itself.
    """
    rows = parts(ds)
    columns = rows[0][1].sizes["k"] + 1
    with rc_context(STYLE):
        size = (max(9, 3 * columns), 1.1 + 2.9 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for row, (name, part) in zip(axes, rows, strict=True):
            for ax, k in zip(row, part.k.values, strict=False):
                _isolated(ax, part.sel(k=k), f"{name}\n" * bool(name) + f"k = {k}")
            _variance(row[-1], part.isel(k=-1))
        figure.suptitle(_message(rows), x=0.01, ha="left", fontsize=11)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _message(rows: list[tuple[str, xr.Dataset]]) -> str:
    """The finding: whether features that are missing at first come back."""
    ends = [p.isel(k=-1).isolated_reappearance.mean("seed").isel(n_steps=[0, -1]) for _, p in rows]
    rises = np.concatenate([np.ravel(e.isel(n_steps=1) - e.isel(n_steps=0)) for e in ends])
    k = int(rows[0][1].k[-1])
    if len(rows[0][1].n_steps) < 2:
        return f"Features found again at k up to {k}, at one budget"
    late = int((rises > 0.1).sum())
    return (
        f"At k = {k} features come late: longer training raises p_hat\n"
        f"by more than .1 in {late} of {len(rises)} cases"
    )


def _isolated(ax: Axes, ds: xr.Dataset, title: str) -> None:
    for i, arch in enumerate(ds.arch.values):
        one = ds.sel(arch=arch).isolated_reappearance
        _line(ax, ds, interval_of(one.transpose("n_steps", "seed")), str(arch), i)
    ax.set_title(title)
    _axis(ax, ds, "features found again (p_hat)")


def _variance(ax: Axes, ds: xr.Dataset) -> None:
    for i, arch in enumerate(ds.arch.values):
        one = ds.sel(arch=arch).explained_variance
        _line(ax, ds, interval_of(one.transpose("n_steps", "seed")), str(arch), i)
    worst = number(ds.explained_variance.mean("seed").min(), ".1%")
    ax.set_title(f"k = {ds.k.item()}: explained variance\ndoes not warn ({worst} or more)")
    _axis(ax, ds, "explained variance")


def _line(ax: Axes, ds: xr.Dataset, score: Interval, arch: str, place: int) -> None:
    """A score over training, drawn `place` steps beside the others so that equal ones are seen."""
    name, colour, marker = look(arch)
    style: dict[str, Any] = {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.2, "capsize": 2}
    x = ds.n_steps.values * 1.05**place
    ax.errorbar(x, score.estimate, error_bars(score), label=name, **style)


def _axis(ax: Axes, ds: xr.Dataset, text: str) -> None:
    ax.set_xscale("log")
    ax.set_xticks(ds.n_steps.values, [f"{n:,}" for n in ds.n_steps.values])
    ax.minorticks_off()
    ax.set_xlabel("training steps")
    ax.set_ylabel(text)
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
