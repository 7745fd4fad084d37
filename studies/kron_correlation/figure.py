"""RV with the planted covariance, by architecture, over the correlation inside groups."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from synthsae.plot import architectures
from synthsae.plot.common import GREY, STYLE
from synthsae.plot.phrases import number
from synthsae.plot.worlds import averaged
from synthsae.seeds.intervals import interval_of

PUBLISHED = {"topk": 0.157, "kron": 0.514}
"""RV that the KronSAE paper (2505.22255) reports on its toy; of which matrix, we do not know."""

HEADLINE = "covariance off diagonal"
"""The matrix of the headline: its permuted matchings are near 0, so its RV is evidence."""

WORDS = {
    "covariance": "activations of latents,\nwith variances",
    "covariance off diagonal": "activations of latents,\nwithout variances",
    "decoder": "decoder rows,\nwith the diagonal",
    "decoder off diagonal": "decoder rows,\nwithout the diagonal",
}
"""What is compared with the planted covariance, in words."""

KEEP = ("arch", "correlation", "matrix")
PURPLE = "#CC79A7"


def correlation_by_arch(ds: xr.Dataset) -> Figure:
    """Left, RV of activations without their variances; right, how well features are found.

    Dimensions that the user made are averaged over; intervals are over seeds, or over worlds.
    """
    flat = averaged(ds, *KEEP)
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        _matrix(left, flat.sel(matrix=HEADLINE))
        left.set_title("do activations vary together where features do?")
        _found(right, flat)
        figure.suptitle(_headline(flat), x=0.01, ha="left", fontsize=11)
        figure.legend(*_legend(left, right), loc="outside lower center", ncols=3)
    return figure


def all_matrices(ds: xr.Dataset) -> Figure:
    """The supplement: the other matrices above, explained variance and costs below."""
    flat = averaged(ds, *KEEP)
    others = [m for m in flat.matrix.values if m != HEADLINE]
    with rc_context(STYLE):
        figure = Figure(figsize=(9.4, 6), layout="constrained")
        above, (variance, cost, legend) = figure.subplots(2, 3)
        for ax, matrix in zip(above, others, strict=True):
            _matrix(ax, flat.sel(matrix=matrix))
            ax.set_title(WORDS[str(matrix)])
        _variance(variance, flat)
        _cost(cost, flat)
        legend.set_axis_off()
        legend.legend(*_legend(above[0]), loc="center", fontsize=8)
        title = "RV of the other matrices, reconstruction and cost"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _headline(ds: xr.Dataset) -> str:
    """Which architecture leads at the largest correlation, or the value of the only one."""
    end = ds.rv.sel(matrix=HEADLINE).sortby("correlation").isel(correlation=-1)
    mean = end.mean([d for d in end.dims if d != "arch"])
    order = np.argsort(-mean.values)
    each = [(look(str(mean.arch.values[i]))[0], number(mean.values[i])) for i in order]
    if len(each) == 1 or each[0][1] == each[1][1]:
        said = ", ".join(f"{name} {value}" for name, value in each)
        return f"At the largest correlation the RV with the planted covariance is {said}"
    (best, high), (other, low), *_ = each
    return f"{best} follows correlated features more closely than {other}: RV {high} against {low}"


def look(arch: str) -> tuple[str, str, str]:
    """Name, colour and marker; KronSAE's usual grey is here that of the nulls."""
    name, colour, marker = architectures.look(arch)
    return name, PURPLE if arch == "kron" else colour, marker


def _legend(*axes: Axes) -> tuple[list, list[str]]:
    """Entries of all axes, those with intervals first."""
    each = [pair for ax in axes for pair in zip(*ax.get_legend_handles_labels(), strict=True)]
    each.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))
    return [handle for handle, _ in each], [label for _, label in each]


def _matrix(ax: Axes, ds: xr.Dataset) -> None:
    """RV with intervals, its nulls, and the published values."""
    for arch, x in _lines(ds):
        part, (name, colour, marker) = ds.sel(arch=arch), look(arch)
        ax.errorbar(
            x, *_points(part.rv), fmt=f"{marker}-", color=colour, ms=5, capsize=3, label=name
        )
    for i, (arch, x) in enumerate(_lines(ds)):
        part, (name, _, marker) = ds.sel(arch=arch), look(arch)
        start, null = (interval_of(part[n]).estimate for n in ("rv_start", "rv_null_high"))
        ax.plot(
            x,
            null,
            color=GREY,
            lw=1.2,
            ls=("--", ":")[i % 2],
            label=f"{name}, matching permuted (97.5%)",
        )
        ax.plot(x, start, marker, color=GREY, mfc="none", ms=5, label=f"{name} before training")
        if arch in PUBLISHED:
            _published(ax, arch)
    ax.set_ylim(-0.06, 1.03)
    ax.set_xticks(ds.correlation.values)
    ax.set_xlabel("correlation of features inside a group")
    ax.set_ylabel("RV with the planted covariance\n(1: the same up to scale)")


def _published(ax: Axes, arch: str) -> None:
    """A line across, named at its right end: the paper's correlation is unknown."""
    name, colour, _ = look(arch)
    at = blended_transform_factory(ax.transAxes, ax.transData)
    value = PUBLISHED[arch]
    ax.plot([0, 1], [value, value], transform=at, color=colour, lw=0.7, ls=(0, (1, 3)))
    text = f"paper:\n{name}"
    ax.text(1.01, value, text, transform=at, color=colour, fontsize=8, va="center")


def _found(ax: Axes, ds: xr.Dataset) -> None:
    """MCC of the planted features, beside that of random directions."""
    _scores(ax, ds, "feature_mcc")
    chance = ds.feature_mcc_chance
    mean = chance.mean([d for d in chance.dims if d != "correlation"])
    ax.plot(ds.correlation, mean, "-.", color=GREY, lw=1.2, label="random directions")
    ax.set_ylabel("MCC: mean cosine of features\nwith their latents")
    ax.set_title("are the features found?")


def _variance(ax: Axes, ds: xr.Dataset) -> None:
    """Explained variance."""
    _scores(ax, ds, "explained_variance")
    ax.set_ylabel("explained variance")
    ax.set_title("how well data are reconstructed")


def _scores(ax: Axes, ds: xr.Dataset, name: str) -> None:
    """A score in [0, 1] over the correlation, a line for each architecture."""
    for arch, x in _lines(ds):
        _, colour, marker = look(arch)
        points = _points(ds[name].sel(arch=arch))
        ax.errorbar(x, *points, fmt=f"{marker}-", color=colour, ms=5, capsize=3)
    ax.set_ylim(0, 1.03)
    ax.set_xticks(ds.correlation.values)
    ax.set_xlabel("correlation of features inside a group")


def _cost(ax: Axes, ds: xr.Dataset) -> None:
    """Parameters and multiply-adds of the encoder, one bar for each architecture."""
    for i, arch in enumerate(ds.arch.values):
        part, colour = ds.sel(arch=arch), look(str(arch))[1]
        for y, name in enumerate(("parameters", "encoder_multiply_adds")):
            value = float(part[name].mean())
            ax.barh(y + 0.2 - 0.4 * i, value, 0.36, color=colour)
            ax.text(value, y + 0.2 - 0.4 * i, f" {number(value, ',.0f')}", va="center", fontsize=8)
    ax.set_yticks([0, 1], ["parameters", "encoder\nmultiply-adds"])
    ax.set_xticks([])
    ax.set_xlim(0, 1.45 * float(ds.parameters.max().fillna(0)) or 1.0)
    ax.spines["bottom"].set_visible(False)
    ax.set_title("what one SAE takes")


def _lines(ds: xr.Dataset) -> list[tuple[str, np.ndarray]]:
    """Every architecture with its places on the x axis, a little beside each other."""
    x = ds.correlation.values.astype(float)
    return [(str(arch), x + 0.008 * i) for i, arch in enumerate(ds.arch.values)]


def _points(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Estimates over the correlation, and the lengths of the bars below and above."""
    i = interval_of(values.transpose("correlation", ...))
    return i.estimate, np.nan_to_num([i.estimate - i.low, i.high - i.estimate])
