"""RV with the planted covariance, by architecture, over the correlation inside groups."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, interval_of_each
from synthsae.plot.phrases import number
from synthsae.plot.worlds import averaged

PUBLISHED = {"topk": 0.157, "kron": 0.514}
"""RV that the KronSAE paper (2505.22255) reports on its toy; of which matrix, we do not know."""

COLOURS = (BLUE, ORANGE, GREEN, "black")
NAMES = {"topk": "TopK", "kron": "KronSAE"}
KEEP = ("arch", "correlation", "matrix")


def correlation_by_arch(ds: xr.Dataset) -> Figure:
    """A panel for each matrix, one for how well features are found, one for what an SAE takes.

    Dimensions that the user made are averaged over; intervals are over seeds, or over worlds.
    """
    flat = averaged(ds, *KEEP)
    with rc_context(STYLE):
        figure = Figure(figsize=(9.4, 5.4), layout="constrained")
        axes = figure.subplots(2, 3, squeeze=False)
        for ax, matrix in zip(axes[:, :2].T.ravel(), flat.matrix.values, strict=True):
            _matrix(ax, flat.sel(matrix=matrix), str(matrix))
        _quality(axes[0, 2], flat)
        _cost(axes[1, 2], flat)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _matrix(ax: Axes, ds: xr.Dataset, matrix: str) -> None:
    """RV with intervals, its nulls, and the published values."""
    for i, (arch, x) in enumerate(_lines(ds)):
        part, colour, name = ds.sel(arch=arch), COLOURS[i], NAMES.get(arch, arch)
        ax.errorbar(x, *_points(part.rv), fmt="o-", color=colour, ms=4.5, capsize=3, label=name)
        start, null = (interval_of_each(part[n]).estimate for n in ("rv_start", "rv_null_high"))
        ax.plot(x, null, color=colour, lw=1, ls="--", label=f"{name}, permuted matching (.975)")
        ax.plot(x, start, "x", color=colour, ms=5, label=f"{name} at step 0")
        if arch in PUBLISHED:
            ax.axhline(PUBLISHED[arch], color=colour, lw=1, ls=":", label=f"{name}, published")
    ax.axhline(0, color=GREY, lw=0.6)
    ax.set_ylim(-0.12, 1.03)
    ax.set_xticks(ds.correlation.values)
    ax.set_xlabel("correlation inside a group")
    ax.set_ylabel("RV with the planted covariance")
    last = {a: float(ds.rv.sel(arch=a).isel(correlation=-1).mean()) for a in ds.arch.values}
    ends = ", ".join(f"{NAMES.get(a, a)} {number(v)}" for a, v in last.items())
    ax.set_title(f"{matrix}\nat the right: {ends}")


def _quality(ax: Axes, ds: xr.Dataset) -> None:
    for i, (arch, x) in enumerate(_lines(ds)):
        part, colour = ds.sel(arch=arch), COLOURS[i]
        ax.errorbar(x, *_points(part.feature_mcc), fmt="s-", color=colour, ms=4.5, capsize=3)
        ax.errorbar(x, *_points(part.explained_variance), fmt="^:", color=colour, ms=4.5, capsize=3)
    ax.plot([], [], "s-", color=GREY, label="MCC with the truth")
    ax.plot([], [], "^:", color=GREY, label="explained variance")
    chance = ds.feature_mcc_chance
    ax.plot(
        ds.correlation,
        chance.mean([d for d in chance.dims if d != "correlation"]),
        "-.",
        color=GREY,
        lw=1,
        label="MCC at chance",
    )
    ax.set_ylim(0, 1.03)
    ax.set_xticks(ds.correlation.values)
    ax.set_xlabel("correlation inside a group")
    ax.legend(loc="lower left", fontsize=7)
    ax.set_title("are the features found?\n")


def _cost(ax: Axes, ds: xr.Dataset) -> None:
    """Parameters and multiply-adds of the encoder, one bar for each architecture."""
    for i, arch in enumerate(ds.arch.values):
        part = ds.sel(arch=arch)
        for y, name in enumerate(("parameters", "encoder_multiply_adds")):
            value = float(part[name].mean())
            ax.barh(y + 0.2 - 0.4 * i, value, 0.36, color=COLOURS[i])
            ax.text(value, y + 0.2 - 0.4 * i, f" {number(value, ',.0f')}", va="center", fontsize=8)
    ax.set_yticks([0, 1], ["parameters", "encoder\nmultiply-adds"])
    ax.set_xticks([])
    ax.set_xlim(0, 1.35 * float(ds.parameters.max().fillna(0)) or 1.0)
    ax.spines["bottom"].set_visible(False)
    ax.set_title("what one SAE takes")


def _lines(ds: xr.Dataset) -> list[tuple[str, np.ndarray]]:
    """Every architecture with its places on the x axis, a little beside each other."""
    x = ds.correlation.values.astype(float)
    return [(str(arch), x + 0.008 * i) for i, arch in enumerate(ds.arch.values)]


def _points(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Estimates over the correlation, and the lengths of the bars below and above."""
    i = interval_of_each(values.transpose("correlation", ...))
    return i.estimate, np.nan_to_num([i.estimate - i.low, i.high - i.estimate])
