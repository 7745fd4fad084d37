"""Reappearance and direction of latents over the ratio of variances, beside what is predicted."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE
from synthsae.plot.phrases import number

AXES = ("rank", "spectrum", "n_steps", "theta")
SHADES = (BLUE, ORANGE, GREEN, GREY)


def means(ds: xr.Dataset) -> xr.Dataset:
    """Means over seeds and blocks by `AXES` and world, shortest training first."""
    ds = ds.mean([d for d in ds.dims if d not in (*AXES, "world_seed")])
    return ds.expand_dims([d for d in (*AXES, "world_seed") if d not in ds.dims]).sortby(list(AXES))


def gaps(ds: xr.Dataset) -> xr.DataArray:
    """|p_hat - predicted| at the longest training, means over worlds: by rank, ratio, threshold."""
    last = means(ds).isel(n_steps=-1)
    p = last.block_reappearance.mean("world_seed")
    return abs(p - last.reappearance_predicted.mean("world_seed"))


def stability_by_ratio(ds: xr.Dataset) -> Figure:
    """A panel of p_hat for each threshold, and one of the angle to the major axis at rank 2."""
    by = means(ds)
    flat = 2 in by["rank"]
    n = by.sizes["theta"] + flat
    with rc_context(STYLE):
        figure = Figure(figsize=(max(6, 3.2 * n), 4.0), layout="constrained")
        panels = figure.subplots(1, n, squeeze=False)[0]
        for ax, theta in zip(panels, by.theta.values, strict=False):
            _reappearance(ax, by.sel(theta=theta))
            ax.set_title(f"found again: cosine of {theta:g} or more")
        if flat:
            _angle(panels[-1], by.isel(theta=0).sel(rank=2))
        for ax in panels:
            ax.set_xscale("log")
            ax.set_xticks(by.spectrum.values, [f"{v:g}" for v in by.spectrum.values])
            ax.xaxis.set_minor_locator(NullLocator())
            ax.set_xlabel("largest / smallest variance of a block")
        gap, theta = number(gaps(ds).isel(theta=0).max()), by.theta.values[0]
        figure.suptitle(
            "Nothing is planted along these latents, yet unequal variances make them come back\n"
            f"as predicted without training (to within {gap} at a cosine of {theta:g})",
            x=0.01,
            ha="left",
            fontsize=11,
        )
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _reappearance(ax: Axes, by: xr.Dataset) -> None:
    """p_hat of each world at the longest training, its prediction, and the shortest training."""
    for colour, rank in zip(SHADES, by["rank"].values, strict=False):
        part = by.sel(rank=rank)
        line = part.reappearance_predicted.isel(n_steps=0).mean("world_seed")
        ax.plot(by.spectrum, line, color=colour, lw=1.4, label=f"rank {rank}: predicted")
        _dots(ax, part.block_reappearance, colour, f"rank {rank}: measured, a dot a world")
    if by.sizes["n_steps"] > 1:
        text = f"after {by.n_steps.values[0]} of {by.n_steps.values[-1]} steps"
        ax.plot([], [], "o", color=GREY, mfc="none", ms=4, label=text)
    ax.set_ylabel("p_hat of block latents")
    ax.set_ylim(-0.03, 1.03)


def _dots(ax: Axes, values: xr.DataArray, colour: str, label: str | None) -> None:
    """Filled dots of the longest training; open ones of the shortest, if there are two."""
    x = np.broadcast_to(values.spectrum, (values.sizes["world_seed"], values.sizes["spectrum"]))
    last = values.transpose("n_steps", "world_seed", "spectrum").values
    if len(last) > 1:
        ax.plot(x.T, last[0].T, "o", color=colour, mfc="none", ms=4, alpha=0.6)
    drawn = ax.plot(x.T, last[-1].T, "o", color=colour, ms=4)
    drawn[0].set_label(label)


def _angle(ax: Axes, by: xr.Dataset) -> None:
    """Median angle to the major axis at rank 2, beside the best X."""
    x = by.major_angle_predicted.isel(n_steps=0).mean("world_seed")
    ax.plot(by.spectrum, x, color="black", lw=1.4)
    _dots(ax, by.major_angle, SHADES[0], None)
    ax.set_ylabel("median angle to the major axis, degrees")
    ax.set_ylim(0, 50)
    ax.set_title("rank 2: latents form an X (line: predicted)")
