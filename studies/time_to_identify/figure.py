"""Stability and truth against training time: late is not never."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from synthsae.studies.time_to_identify.times import NULL, curves

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE

COLORS = (BLUE, GREEN, ORANGE)
MARKERS = "os^D"


def identification_over_time(ds: xr.Dataset) -> Figure:
    """Axis cosine against learning rate times steps, and in units of the prediction; p_hat.

    A row of panels for every value of the dimensions that the study does not have itself.
    """
    rows = list(curves(ds))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 0.7 + 3.1 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), 3, squeeze=False)
        for (raw, scaled, stable), (label, means) in zip(panels, rows, strict=True):
            _truth(raw, means)
            _collapsed(scaled, means)
            _stability(stable, means)
            raw.set_title(f"{label}\n" * bool(label) + "truth comes late near beta = 2")
        figure.suptitle(
            "Not yet, or never: near beta = 2 the true axes are found late, as predicted;\n"
            "at beta = 2 no budget finds them",
            x=0.01,
            ha="left",
            fontsize=11,
        )
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _settings(means: xr.Dataset) -> list[tuple[xr.Dataset, dict[str, object]]]:
    """Each curve and how it is drawn: colour by beta, filled for large batches, marker by rate."""
    found = []
    for b, beta in enumerate(means.beta.values):
        color = GREY if beta == NULL else COLORS[b % len(COLORS)]
        for i, size in enumerate(means.batch_size.values):
            for r, rate in enumerate(means.lr.values):
                style = {
                    "color": color,
                    "marker": MARKERS[r % len(MARKERS)],
                    "mfc": color if i else "white",
                    "ms": 4.5,
                    "lw": 0.8,
                    "label": f"beta {beta:g}, batch {size}, rate {rate}",
                }
                found.append((means.sel(beta=beta, batch_size=size, lr=rate), style))
    return found


def _truth(ax: Axes, means: xr.Dataset) -> None:
    for one, style in _settings(means):
        ax.plot(one.learning, one.axis_cosine, **style)
    _label(ax, "learning rate × steps", "best cosine of the true axes")


def _collapsed(ax: Axes, means: xr.Dataset) -> None:
    for one, style in _settings(means):
        half = float(one.predicted_half_time.max())
        if np.isfinite(half):
            ax.plot(one.learning / half, one.axis_cosine, **{**style, "lw": 0})
            ax.plot(one.learning / half, one.predicted_axis_cosine, "k-", lw=1)
    ax.axvline(1, color=GREY, lw=0.8, ls=":")
    ax.set_title("in units of the prediction\n(black: predicted curves)")
    _label(ax, "time / predicted half-way time", "best cosine of the true axes")


def _stability(ax: Axes, means: xr.Dataset) -> None:
    for one, style in _settings(means):
        ax.plot(one.learning, one.block_reappearance, **style)
    if NULL in means.beta:
        law = float(means.sel(beta=NULL).isel(n_steps=-1).coverage_prediction.mean())
        ax.axhline(law, color="black", lw=1, ls="--")
        ax.annotate("coverage law", (0.98, law - 0.01), xycoords=("axes fraction", "data"),
                    ha="right", va="top", fontsize=8)  # fmt: skip
    ax.set_title("seeds agree when the truth is found,\nand stay on the law where there is none")
    _label(ax, "learning rate × steps", "reappearance p_hat")
    ax.set_ylim(0, 1.03)


def _label(ax: Axes, x: str, y: str) -> None:
    ax.set_xscale("log")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
