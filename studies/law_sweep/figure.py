"""Stability and truth over the shape of a block's law: one knob across the boundary."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import BLUE, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import span
from synthsae.plot.worlds import SEEDS
from synthsae.seeds.intervals import interval_of

SHADES = {
    1: ("#D5E8F2", "prefers the true axes"),
    0: ("#EEEEEE", "is flat"),
    -1: ("#F8E0D2", "prefers other directions"),
}
"""Colour behind the points, by the sign of the predicted preference, and what it means."""


def stability_by_beta(ds: xr.Dataset) -> Figure:
    """Beta against p_hat and the cosine of the true axes, above the predicted preference for axes.

    One column of panels for every value of the other dimensions (rank); intervals are over worlds.
    """
    columns = list(slices(ds, keep=("beta", "world_seed", *SEEDS)))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.1 + 2.35 * len(columns), 4.6), layout="constrained")
        panels = figure.subplots(
            2,
            len(columns),
            sharex=True,
            sharey="row",
            squeeze=False,
            gridspec_kw={"height_ratios": [3, 1]},
        )
        for (top, bottom), (label, part) in zip(panels.T, columns, strict=True):
            _scores(top, part, label)
            _preference(bottom, part)
        panels[0, 0].set_ylim(top=1.03)
        panels[0, 0].set_ylabel("p_hat, cosine")
        panels[1, 0].set_ylabel("loss of rotated\nminus true axes")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        handles += [Patch(color=color) for color, _ in SHADES.values()]
        labels += [f"loss before training {text}" for _, text in SHADES.values()]
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def preferences(ds: xr.Dataset) -> xr.DataArray:
    """Sign of the predicted rotation_excess of every setting, 0 within 3 standard errors of 0."""
    error = ds.rotation_excess_sd.max("world_seed") / ds.sizes["world_seed"] ** 0.5
    excess = ds.rotation_excess.mean("world_seed")
    return np.sign(excess).where(abs(excess) > 3 * error, 0)


def _shade(ax: Axes, ds: xr.Dataset) -> None:
    for x, sign in enumerate(preferences(ds).values):
        ax.axvspan(x - 0.5, x + 0.5, color=SHADES[int(sign)][0], lw=0, zorder=0)


def _scores(ax: Axes, ds: xr.Dataset, label: str) -> None:
    """p_hat and axis cosine with intervals over worlds, each beside its value for rotated codes."""
    x = np.arange(ds.sizes["beta"])
    _shade(ax, ds)
    for name, null, color, marker, text in (
        ("block_reappearance", "coverage_prediction", ORANGE, "o", "stability: p_hat"),
        ("axis_cosine", "axis_cosine_null", BLUE, "s", "truth: best cosine of the true axes"),
    ):
        found = interval_of(ds[name])
        rotated = interval_of(ds[null]).estimate
        ax.plot(x, rotated, color=color, lw=1, ls=":", label=f"{text.split(':')[0]} at random")
        ax.errorbar(
            x,
            found.estimate,
            error_bars(found),
            fmt=f"{marker}-",
            color=color,
            ms=4.5,
            capsize=3,
            label=text,
        )
    over = [d for d in ds.axis_cosine.dims if d != "beta"]
    p, c = (ds[n].mean(over).values[[0, -1]] for n in ("block_reappearance", "axis_cosine"))
    ax.set_title(f"{label}\np_hat {span(p)}\ntruth {span(c)}")


def _preference(ax: Axes, ds: xr.Dataset) -> None:
    """Predicted excess loss of rotated frames: where it is positive the true axes are preferred."""
    x = np.arange(ds.sizes["beta"])
    _shade(ax, ds)
    ax.axhline(0, color="black", lw=0.8)
    ax.bar(x, ds.rotation_excess.mean("world_seed"), width=0.6, color="black")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xticks(x, [f"{b:g}" for b in ds.beta.values])
    ax.set_xlabel("beta of the block's law")
