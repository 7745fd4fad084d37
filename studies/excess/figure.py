"""Excess of p_hat over the coverage law, with one of its conditions broken at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS
from synthsae.stats import Interval, mean_interval

SUSPECTS: dict[str, dict[str, int]] = {
    "clean baseline": {},
    "isolated features lean into blocks": {"leaning": 1},
    "shared batches, plenty of samples": {"data": 1},
    "shared start": {"init": 1},
    "few samples": {"n_steps": 0},
    "shared batches, few samples": {"data": 1, "n_steps": 0},
}
"""What is changed from the clean baseline, by position on an axis of the study."""


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


def over_worlds(each: xr.DataArray) -> Interval:
    """Mean over worlds with its t interval, whose ends are unknown in one world."""
    values = np.ravel(each)
    values = values[np.isfinite(values)]
    if values.size > 1:
        return mean_interval(values)
    return Interval(np.array(values.mean() if values.size else np.nan), *np.full(2, np.nan))


def haar_sd(ds: xr.Dataset) -> float:
    """Standard deviation of the mean excess over worlds, were all codes turned at random."""
    variance = ds.coverage_prediction_sd**2
    return float((variance.sum() / variance.size**2) ** 0.5)


def excess_by_suspect(ds: xr.Dataset) -> Figure:
    """One line a suspect: mean excess over worlds, every world, and what chance allows."""
    rows = list(conditions(ds))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 1.7 + 0.46 * len(rows)), layout="constrained")
        ax = figure.subplots()
        for y, (_, part) in enumerate(rows):
            _line(ax, y, part)
        ax.axvline(0, color="black", lw=1)
        _names(ax, rows)
        ax.set_xlabel("p_hat of block latents minus the coverage law")
        _key(figure, ax)
        figure.suptitle(_message(rows), x=0.01, ha="left", fontsize=11)
    return figure


def laws_by_suspect(ds: xr.Dataset) -> Figure:
    """The supplement, one line a suspect: p_hat, the law, and the law as if no caps overlapped."""
    rows = list(conditions(ds))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 1.8 + 0.4 * len(rows)), layout="constrained")
        ax = figure.subplots()
        each = []
        for y, (label, part) in enumerate(rows):
            p, law, closed = (
                float(part[name].mean())
                for name in ("block_reappearance", "coverage_prediction", "coverage_closed_form")
            )
            each.append((label, p, law, closed))
            first = y == 0
            ax.plot(p, y, "o", color=ORANGE, ms=6, label="measured p_hat" * first)
            ax.plot(law, y, "|", color="black", ms=16, mew=1.6, label="coverage law" * first)
            text = "latents times cap measure, as if no caps overlapped" * first
            ax.plot(closed, y, "D", mfc="none", color="black", ms=6, label=text)
        _names(ax, rows)
        ax.set_xlabel("p_hat of block latents, mean of all worlds")
        figure.legend(loc="outside lower center", ncols=3)
        label, p, law, closed = max(each, key=lambda e: np.nan_to_num(abs(e[2] - e[3])))
        title = f"Overlaps of caps matter most with {label}: p_hat is {number(p)},\n"
        title += f"the law {number(law)}, and {number(closed)} as if no caps overlapped"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _message(rows: list[tuple[str, xr.Dataset]]) -> str:
    """Which conditions move p_hat off the law by more than 3 Haar sd, as a sentence."""
    each = {name: (float(excess(part).mean()), haar_sd(part)) for name, part in rows}
    broken = {name: e for name, (e, sd) in each.items() if abs(e) > 3 * sd > 0}
    if not broken:
        return "No condition moves p_hat off the coverage law by more than chance"
    order = sorted(broken, key=lambda name: -abs(broken[name]))
    said = ", ".join(f"{name} ({number(broken[name], '+.2f')})" for name in order)
    return f"What moves p_hat off the coverage law by more than chance:\n{said}"


def _line(ax: Axes, y: int, ds: xr.Dataset) -> None:
    """One condition: every world, the mean with its interval, and 2 Haar sd about the law."""
    each, sd = excess(ds), haar_sd(ds)
    score = over_worlds(each)
    mean = float(score.estimate)
    far = abs(mean) > 3 * sd
    if sd > 0:
        ax.barh(y, 4 * sd, 0.62, -2 * sd, color=GREY, alpha=0.3, lw=0)
    ax.plot(np.ravel(each), np.full(each.size, y + 0.3), "|", color=GREY, ms=6)
    fill = ORANGE if far else "white"
    ends = error_bars(score, least=-1.0)[:, None]
    ax.errorbar(mean, y, xerr=ends, fmt="o", color=ORANGE, mfc=fill, ms=6, capsize=3)
    ax.annotate(
        in_sd(mean, sd) if np.isfinite(mean) else "unknown", (1.01, y),
        xycoords=("axes fraction", "data"), va="center", fontsize=9,
        fontweight="bold" if far else "normal",
    )  # fmt: skip


def _names(ax: Axes, rows: list[tuple[str, xr.Dataset]]) -> None:
    """Conditions down the vertical axis."""
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)


def _key(figure: Figure, ax: Axes) -> None:
    """What marks, filling and band mean."""
    style: dict[str, Any] = {"color": ORANGE, "ms": 6}
    ax.plot([], [], "o-", label="more than 3 sd off the law", **style)
    ax.plot([], [], "o-", mfc="white", label="within 3 sd (bars: 95% intervals)", **style)
    ax.plot([], [], "|", color=GREY, label="one world")
    text = "2 sd of codes rotated at random"
    ax.plot([], [], color=GREY, alpha=0.3, lw=8, label=text)
    figure.legend(loc="outside lower center", ncols=4)
