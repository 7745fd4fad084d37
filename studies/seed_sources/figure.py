"""Stability where seeds share their start, their data, both or neither."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    STYLE,
    error_bars,
    interval_of_each,
    interval_over_seeds,
    slices,
)
from synthsae.plot.phrases import number
from synthsae.stats import Interval

SOURCES = {
    ("shared", "shared"): (GREY, "D", "start and data shared"),
    ("shared", "independent"): (GREEN, "^", "start shared, data differ"),
    ("independent", "shared"): (BLUE, "o", "data shared, start differs"),
    ("independent", "independent"): (ORANGE, "s", "start and data differ"),
}
"""(init, data) -> colour, marker, label."""


def over_worlds(ds: xr.Dataset) -> xr.Dataset:
    """The mean over worlds, where there are several."""
    return ds.mean("world_seed") if "world_seed" in ds.dims else ds


def law(ds: xr.Dataset) -> xr.DataArray:
    """The coverage law for codes whose seeds share nothing (or the least that there is)."""
    least = ds.coverage_prediction.sortby(["init", "data"]).isel(init=0, data=0)
    return least.mean(("seed", "block"))


def stability_by_source(ds: xr.Dataset) -> Figure:
    """Samples against p_hat of block latents (above) and their cosine with their start (below).

    One line for what the seeds share; the rank, and dimensions that the user made, are columns.
    """
    keep = ("n_steps", "init", "data", "seed", "seed_a", "seed_b", "block", "angle")
    parts = list(slices(over_worlds(ds).sortby("n_steps"), keep))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.8 + 2.75 * len(parts), 4.8), layout="constrained")
        axes = figure.subplots(2, len(parts), sharex=True, sharey="row", squeeze=False)
        for (above, below), (label, part) in zip(axes.T, parts, strict=True):
            _panel(above, part, "block_reappearance", interval_over_seeds)
            above.plot(_x(part), law(part), color="black", lw=1.3, label="coverage law")
            chance = part.block_reappearance_chance.mean(("init", "data", "seed"))
            above.plot(_x(part), chance, color=GREY, lw=1, ls="-.", label="chance")
            above.set_ylim(-0.03, 1.06)
            above.yaxis.set_major_formatter(PercentFormatter(1))
            above.set_title(_title(label, part))
            _panel(below, part.mean("block"), "start_memory", interval_of_each)
            below.axhline(0, color=GREY, lw=1, ls="-.")
            below.set_xlabel("training samples of a seed")
        axes[0, 0].set_ylabel("block latents: share\nfound in another seed")
        axes[1, 0].set_ylabel("cosine of a block latent\nwith its own start")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        axes[0, -1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _x(ds: xr.Dataset) -> np.ndarray:
    """Evenly spaced budgets."""
    return np.arange(ds.sizes["n_steps"])


def _title(label: str, ds: xr.Dataset) -> str:
    """p_hat at the largest budget where one source is shared, or neither, beside the law."""
    end = ds.block_reappearance.isel(n_steps=-1).mean(("seed", "block"))
    said = [
        f"{text} {number(end.sel(init=init, data=data), '.0%')}"
        for text, init, data in (
            ("start", "shared", "independent"),
            ("data", "independent", "shared"),
            ("neither", "independent", "independent"),
        )
        if init in ds["init"] and data in ds["data"]
    ]
    head = f"{label}: law {number(law(ds).isel(n_steps=-1), '.0%')}; with the same"
    return "\n".join([head, ", ".join(said)])


def _panel(
    ax: Axes, ds: xr.Dataset, name: str, interval: Callable[[xr.DataArray], Interval]
) -> None:
    """A variable over the budget, a line for what is shared, with 95% intervals over seeds."""
    x = _x(ds)
    for (init, data), (color, marker, label) in SOURCES.items():
        if init not in ds["init"] or data not in ds["data"]:
            continue
        i = interval(ds[name].sel(init=init, data=data))
        ax.errorbar(
            x,
            i.estimate,
            error_bars(i),
            fmt=f"{marker}-",
            color=color,
            ms=4,
            lw=1,
            capsize=2,
            label=label,
        )
    samples = ds.training_samples.values.reshape(len(x), -1)[:, 0]
    ax.set_xticks(x, [f"{n / 1000:.3g}k" for n in samples])
