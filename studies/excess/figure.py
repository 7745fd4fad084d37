"""Excess of p_hat over the coverage law, with one of its conditions broken at a time."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, slices
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS

SUSPECTS: dict[str, dict[str, int]] = {
    "clean baseline": {},
    "isolated features lean into blocks": {"leaning": 1},
    "shared batches, plenty of samples": {"data": 1},
    "shared start": {"init": 1},
    "few samples": {"n_steps": 0},
    "shared batches, few samples": {"data": 1, "n_steps": 0},
}
"""What is changed from the clean baseline, by position on an axis of the study."""


TICKS = (-0.5, -0.1, -0.05, 0, 0.05, 0.1, 0.5)


def conditions(ds: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """(name, Dataset) of the clean baseline and of each suspect alone, as far as the axes go.

    Each is split by the values of dimensions that are not the study's own.
    """
    clean = {"n_steps": -1, "leaning": 0, "data": 0, "init": 0}
    for label, change in SUSPECTS.items():
        if not all(ds.sizes.get(axis, 1) > 1 for axis in change):
            continue
        at = {axis: i for axis, i in (clean | change).items() if axis in ds.dims}
        for extra, part in slices(ds.isel(at), keep=("world_seed", *SEEDS)):
            yield ", ".join(filter(None, [label, extra])), part


def excess(ds: xr.Dataset, law: str = "coverage_prediction") -> xr.DataArray:
    """Mean p_hat minus the mean of `law` in every world, [world_seed]."""
    return (ds.block_reappearance - ds[law]).mean([d for d in SEEDS if d in ds[law].dims])


def in_sd(mean: float, sd: float) -> str:
    """An excess in words, in units of the Haar standard deviation where there is one."""
    return f"{mean:+.3f}" + (f" ({mean / sd:+.1f} sd)" if sd > 0 else "")


def haar_sd(ds: xr.Dataset) -> float:
    """Standard deviation of the mean excess over worlds, were all codes turned at random."""
    variance = ds.coverage_prediction_sd**2
    return float((variance.sum() / variance.size**2) ** 0.5)


def excess_by_suspect(ds: xr.Dataset) -> Figure:
    """One line a suspect: mean excess with 2 Haar standard deviations, and every world."""
    rows = list(conditions(ds))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.1, 1.5 + 0.42 * len(rows)), layout="constrained")
        ax = figure.subplots()
        for y, (_, part) in enumerate(rows):
            _line(ax, y, part)
        ax.plot([], [], "o", color=BLUE, label="on the law (within 3 sd)")
        ax.plot([], [], "o", color=ORANGE, label="leaves the law")
        ax.plot([], [], "D", color="black", mfc="none", ms=5, label="over m A_R")
        ax.plot([], [], "|", color=GREY, label="one world")
        ax.axvline(0, color="black", lw=0.8)
        ax.set_xscale("symlog", linthresh=0.1, linscale=1.2)
        ax.set_xticks(TICKS, [f"{v:g}" for v in TICKS])
        ax.minorticks_off()
        ax.set_yticks(range(len(rows)), [label for label, _ in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlabel("excess of p_hat over the coverage law, bar: 2 Haar sd (linear within 0.1)")
        label, worst = max(rows, key=lambda row: float(abs(excess(row[1]).mean().fillna(0))))
        ax.set_title(f"largest excess: {label}, {number(excess(worst).mean(), '+.2f')}")
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def _line(ax: Axes, y: int, ds: xr.Dataset) -> None:
    """One condition: every world, the mean in a colour that judges it, and the closed form."""
    each, sd = excess(ds), haar_sd(ds)
    mean, closed = float(each.mean()), float(excess(ds, "coverage_closed_form").mean())
    colour = ORANGE if abs(mean) > 3 * sd else BLUE
    ax.plot(np.ravel(each), np.full(each.size, y + 0.2), "|", color=GREY, ms=6)
    ax.errorbar(mean, y, xerr=2 * sd, fmt="o", color=colour, ms=6, capsize=3)
    ax.plot(closed, y, "D", mfc="none", color="black", ms=5)
    ax.annotate(
        in_sd(mean, sd) if np.isfinite(mean) else "unknown",
        (1.01, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        color=colour,
    )
