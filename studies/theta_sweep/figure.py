"""p_hat over the threshold, on the laws."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, error_bars
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS, averaged
from synthsae.seeds.intervals import interval_of

AXES = ("rank", "theta")


def gaps(ds: xr.Dataset, law: str) -> xr.DataArray:
    """|mean p_hat - law| by rank and threshold, over worlds and seeds."""
    means = _by_axes(ds)
    p = means.block_reappearance.mean([d for d in ("world_seed", *SEEDS) if d in means.dims])
    return abs(p - means[law].mean([d for d in ("world_seed",) if d in means[law].dims]))


def stability_by_theta(ds: xr.Dataset) -> Figure:
    """Threshold against p_hat of block latents and both laws, a panel for each rank."""
    means = _by_axes(ds).sortby("theta")
    n = means.sizes["rank"]
    rows = -(-n // 3)
    with rc_context(STYLE):
        size = (9, 1.2 + 2.2 * rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, min(n, 3), sharex=True, sharey=True, squeeze=False).ravel()
        for ax, rank in zip(panels, means["rank"].values, strict=False):
            _panel(ax, means.sel(rank=rank))
        for ax in panels[n:]:
            ax.set_axis_off()
        gap = number(gaps(ds, "law_exact").max())
        figure.suptitle(
            f"At every threshold p_hat is within {gap} of a law that needs no training",
            x=0.01,
            ha="left",
            fontsize=11,
        )
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _by_axes(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset by rank, threshold and world, averaged over the user's own dimensions."""
    found = averaged(ds, *AXES)
    return found.expand_dims([d for d in AXES if d not in found.dims])


def _panel(ax: Axes, ds: xr.Dataset) -> None:
    x = ds.theta.values
    worlds = [d for d in ("world_seed",) if d in ds.law_exact.dims]
    found = interval_of(ds.block_reappearance)
    ax.plot(x, ds.law_exact.mean(worlds), color=BLUE, lw=1.4, label="law: 2R orthogonal ± latents")
    ax.plot(x, ds.law_disjoint.mean(worlds), color=GREY, lw=1, ls="--", label="2R × cap measure")
    style: dict[str, Any] = {"fmt": "o", "color": ORANGE, "ms": 4.5, "capsize": 2, "lw": 1}
    ax.errorbar(x, found.estimate, error_bars(found), label="measured", **style)
    ax.set_title(f"rank {ds['rank'].item()}")
    ax.set_xlabel("cosine that counts as found again")
    ax.set_ylabel("p_hat in blocks")
    ax.set_ylim(0, 1.03)
    ax.set_xticks(np.arange(0.3, 1, 0.2))
