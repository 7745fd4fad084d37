"""p_hat over the threshold, on the laws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import ORANGE, STYLE, error_bars
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
    """Threshold against p_hat and both laws: least and largest rank, and the one farthest off."""
    worst = gaps(ds, "law_exact").max("theta").fillna(0)
    ends = {0, int(np.argmax(worst.values)), worst.sizes["rank"] - 1}
    gap = number(gaps(ds, "law_exact").max())
    title = f"At every threshold p_hat is within {gap} of a law that needs no training"
    return _drawn(ds, sorted(ends), title)


def every_rank(ds: xr.Dataset) -> Figure:
    """The supplement: the same at all ranks."""
    title = "p_hat over the threshold, on the laws, at every rank"
    return _drawn(ds, range(_by_axes(ds).sizes["rank"]), title)


def _drawn(ds: xr.Dataset, at: Sequence[int], title: str) -> Figure:
    """A panel for each position in `at` among the ranks."""
    means = _by_axes(ds).sortby("theta")
    rows = -(-len(at) // 3)
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 1.3 + 2.6 * rows), layout="constrained")
        grid = figure.subplots(rows, min(len(at), 3), sharex=True, sharey=True, squeeze=False)
        for ax, i in zip(grid.ravel(), at, strict=False):
            _panel(ax, means.isel(rank=i))
        for ax in grid.ravel()[len(at) :]:
            ax.set_axis_off()
        for ax in grid[:, 0]:
            ax.set_ylabel("p_hat of block latents")
        for ax in grid[-1]:
            ax.set_xlabel("cosine that counts as found again")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        handles, labels = grid[0, 0].get_legend_handles_labels()
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
    exact, disjoint = (ds[name].mean(worlds) for name in ("law_exact", "law_disjoint"))
    ax.plot(x, exact, color="black", lw=1.4, label="law: 2R orthogonal ± latents")
    ax.plot(x, disjoint, color="black", lw=1, ls="--", label="as if caps did not overlap")
    style: dict[str, Any] = {"fmt": "o", "color": ORANGE, "ms": 4.5, "capsize": 2, "lw": 1}
    ax.errorbar(x, found.estimate, error_bars(found), label="measured, 95% interval", **style)
    ax.set_title(f"rank {ds['rank'].item()}")
    ax.set_ylim(0, 1.03)
    ax.set_xticks(np.arange(0.3, 1, 0.2))
