"""Stability over the code's size k: what more latents a sample than it needs do to features."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.architectures import label, look
from synthsae.plot.common import (
    GREY,
    STYLE,
    defined,
    error_bars,
    interval_of_each,
    interval_over_seeds,
    slices,
)
from synthsae.plot.phrases import number

KEEP = ("arch", "k", "seed", "seed_a", "seed_b", "block", "angle")
LAW = "coverage law of its codes"


def last_stable(ds: xr.Dataset) -> int | None:
    """The largest k up to which isolated features are stable at every k, of one architecture."""
    stable = ds.sortby("k").isolated_reappearance.mean("seed") >= defined(ds, "stable")
    n = int(stable.cumprod("k").sum())
    return int(np.sort(ds.k.values)[n - 1]) if n else None


def stability_by_k(ds: xr.Dataset) -> Figure:
    """k against p_hat of isolated features, p_hat of block latents beside the law, and EV.

    Dimensions that the user made, other than arch and k, get a row of panels for each value.
    """
    parts = list(slices(ds.sortby("k"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(10.2, 0.5 + 3.4 * len(parts)), layout="constrained")
        axes = figure.subplots(len(parts), 3, sharex=True, squeeze=False)
        for row, (name, part) in zip(axes, parts, strict=True):
            _isolated(row[0], part)
            _blocks(row[1], part)
            _variance(row[2], part)
            row[0].set_ylabel("\n".join([*([name] if name else []), "share"]))
        named: dict[str, Any] = {}
        for ax in axes.flat:
            named |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        order = [n for n in (*(label(str(a)) for a in ds.arch.values), LAW) if n in named]
        figure.legend(
            [named[n] for n in order], order, loc="outside lower center", ncols=len(order)
        )
    return figure


def _isolated(ax: Axes, ds: xr.Dataset) -> None:
    for arch in ds.arch.values:
        one = ds.sel(arch=arch).isolated_reappearance
        i = interval_over_seeds(one.transpose("k", "seed"))
        _line(ax, ds.k.values, i.estimate, error_bars(i), str(arch))
    last = {label(str(a)): last_stable(ds.sel(arch=a)) for a in ds.arch.values}
    safe = [name for name, k in last.items() if k == ds.k.values.max()]
    ax.set_title(
        "isolated features found again:\n"
        + (f"at every k only by {', '.join(safe)}" if safe else "by none at every k")
    )
    _marks(ax, ds)
    _axis(ax, ds)


def _blocks(ax: Axes, ds: xr.Dataset) -> None:
    if "block_reappearance" not in ds or not ds.block_reappearance.notnull().any():
        ax.set_title("no blocks are planted")
        ax.set_axis_off()
        return
    for arch in ds.arch.values:
        one = ds.sel(arch=arch)
        i = interval_over_seeds(one.block_reappearance.transpose("k", "seed", "block"))
        _line(ax, ds.k.values, i.estimate, error_bars(i), str(arch))
        law = one.coverage_prediction.mean(("seed", "block"))
        ax.plot(ds.k, law, color=look(str(arch))[1], lw=1, ls="--")
    ax.plot([], [], color="black", lw=1, ls="--", label=LAW)
    ax.set_title("latents in blocks found again:\nwhat their codes cover, whatever the k")
    _axis(ax, ds)


def _variance(ax: Axes, ds: xr.Dataset) -> None:
    for arch in ds.arch.values:
        i = interval_of_each(ds.sel(arch=arch).explained_variance.transpose("k", "seed"))
        _line(ax, ds.k.values, i.estimate, error_bars(i), str(arch))
    worst = number(ds.explained_variance.isel(k=-1).mean("seed").min(), ".1%")
    ax.set_title(f"explained variance does not warn:\n{worst} or more at k = {ds.k.values[-1]}")
    _axis(ax, ds)


def _line(ax: Axes, k: np.ndarray, y: np.ndarray, ends: np.ndarray, arch: str) -> None:
    name, colour, marker = look(arch)
    ax.errorbar(k, y, ends, color=colour, marker=marker, ms=4.5, lw=1.2, capsize=2, label=name)


def _marks(ax: Axes, ds: xr.Dataset) -> None:
    """What the samples need, from the world alone."""
    if "planted_l0" not in ds:
        return
    for name, height, text in (
        ("planted_l0", 0.02, "samples need\n{} on average "),
        ("planted_l0_high", 0.13, "99% need\n{} or less "),
    ):
        need = float(ds[name].mean())
        ax.axvline(need, color=GREY, lw=0.9, ls=":")
        side = "right" if need > ds.k.min() else "left"  # within the axes
        ax.text(need, height, text.format(number(need, ".3g")), fontsize=7, color=GREY, ha=side)


def _axis(ax: Axes, ds: xr.Dataset) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(ds.k.values, [str(k) for k in ds.k.values])
    ax.minorticks_off()
    ax.set_xlabel("k, latents that may fire in a sample")
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
