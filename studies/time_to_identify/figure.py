"""Stability and truth against training time: late is not never."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from synthsae.studies.time_to_identify.times import NULL, against_prediction, curves

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE
from synthsae.plot.phrases import extremes

COLORS = (BLUE, "#56B4E9", ORANGE)
"""Blue where the axes are true; the null is grey."""
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
            raw.set_title(f"{label}\n" * bool(label) + "Truth: how near latents are to the axes")
        figure.suptitle(
            _message([means for _, means in rows]),
            x=0.01,
            ha="left",
            fontsize=11,
        )
        _legend(figure, rows[0][1])
    return figure


def _message(every: list[xr.Dataset]) -> str:
    """The finding: late by how much of the prediction, and never at beta = 2."""
    ratio = np.concatenate([np.ravel(against_prediction(means)) for means in every])
    late = "Near beta = 2 training finds the true axes late"
    if np.isfinite(ratio).any():
        late += f", {extremes(ratio, '.1f')} times later than predicted without training"
    never = any(NULL in means.beta for means in every)
    return late + ";\nat beta = 2, where nothing prefers them, no budget finds them" * never


def _legend(figure: Figure, means: xr.Dataset) -> None:
    """What colour, filling and marker mean."""
    marks = [Line2D([], [], color=_color(means, b), lw=2, label=f"beta {b:g}" + _null(b))
             for b in means.beta.values]  # fmt: skip
    shape: dict[str, Any] = {"color": "black", "ls": "", "ms": 4.5}
    for i, size in enumerate(means.batch_size.values):
        fill = "black" if i else "white"
        marks.append(Line2D([], [], marker="o", mfc=fill, label=f"batch {size}", **shape))
    for r, rate in enumerate(means.lr.values):
        text = f"learning rate {rate}"
        marks.append(Line2D([], [], marker=MARKERS[r % 4], mfc="white", label=text, **shape))
    figure.legend(handles=marks, loc="outside lower center", ncols=4)


def _null(beta: float) -> str:
    return " (nothing prefers the axes)" if beta == NULL else ""


def _color(means: xr.Dataset, beta: float) -> str:
    return GREY if beta == NULL else COLORS[list(means.beta.values).index(beta) % len(COLORS)]


def _settings(means: xr.Dataset) -> list[tuple[xr.Dataset, dict[str, Any]]]:
    """Each curve and how it is drawn: colour by beta, filled for large batches, marker by rate."""
    found = []
    for beta in means.beta.values:
        color = _color(means, beta)
        for i, size in enumerate(means.batch_size.values):
            for r, rate in enumerate(means.lr.values):
                style: dict[str, Any] = {
                    "color": color,
                    "marker": MARKERS[r % len(MARKERS)],
                    "mfc": color if i else "white",
                    "ms": 4.5,
                    "lw": 0.8,
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
    ax.set_title("The same against the prediction\n(black: predicted, nothing fitted)")
    _label(ax, "learning rate × steps / predicted half-way", "best cosine of the true axes")


def _stability(ax: Axes, means: xr.Dataset) -> None:
    for one, style in _settings(means):
        ax.plot(one.learning, one.block_reappearance, **style)
    if NULL in means.beta:
        law = float(means.sel(beta=NULL).isel(n_steps=-1).coverage_prediction.mean())
        ax.axhline(law, color="black", lw=1, ls="--")
        ax.annotate("coverage law", (0.02, law + 0.01), xycoords=("axes fraction", "data"),
                    ha="left", va="bottom", fontsize=8)  # fmt: skip
    ax.set_title("Stability: seeds agree once the\naxes are found, else stay on the law")
    _label(ax, "learning rate × steps", "reappearance p_hat")
    ax.set_ylim(0, 1.03)


def _label(ax: Axes, x: str, y: str) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
