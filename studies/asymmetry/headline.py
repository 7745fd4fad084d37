"""The headline: what a stable latent costs against an unstable one of its firing rate."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from synthsae.studies.asymmetry.figure import LOOK, at_equal_rate, common_count, worlds

from synthsae.plot.common import GREY, STYLE
from synthsae.plot.phrases import span
from synthsae.seeds.intervals import interval_of

SCALE = "block_scale"


def cost_at_equal_rate(ds: xr.Dataset) -> Figure:
    """Left, the ratio of costs at equal firing rate in each setting; right, what classes cost.

    On planted worlds with an axis `block_scale` the ratio stands over it, beside the prediction of
    an energy that grows with its square.
    """
    parts = worlds(ds)
    ratios = [at_equal_rate(part) for _, part in parts]
    scaled = ds.sizes.get(SCALE, 1) > 1
    x = np.array([float(part[SCALE]) for _, part in parts]) if scaled else np.arange(len(parts))
    ends = span([min(r.estimate for r in ratios), max(r.estimate for r in ratios)], ".1f")
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _ratios(left, x, ratios)
        if scaled:
            _energy(left, x, np.array([float(r.estimate) for r in ratios]))
            left.set_xlabel("block_scale: magnitude of block codes over that of isolated features")
        _classes(right, x, [part for _, part in parts])
        for ax in (left, right):
            names = [name.replace(", ", "\n") or "all" for name, _ in parts]
            ax.set_xticks(
                *((np.unique(x), [f"{v:g}" for v in np.unique(x)]) if scaled else (x, names))
            )
        right.set_xlabel(SCALE if scaled else "")
        decided = "energy decides, not stability: " if scaled else ""
        figure.suptitle(
            f"At equal firing rate {decided}a stable latent costs {ends} times an unstable one",
            x=0.01,
            ha="left",
            fontsize=11,
        )
        handles = [*left.get_legend_handles_labels(), *right.get_legend_handles_labels()]
        figure.legend(
            handles[0] + handles[2], handles[1] + handles[3], loc="outside lower center", ncols=3
        )
    return figure


def _ratios(ax: Axes, x: np.ndarray, ratios: list) -> None:
    """A dot with its interval over seeds for each setting; settings of one x side by side."""
    beside = [list(x[:i]).count(v) for i, v in enumerate(x)]
    step = 0.06 * max(np.ptp(x), 1) / 2
    low, middle, high = (
        np.array([float(getattr(r, n)) for r in ratios]) for n in ("low", "estimate", "high")
    )
    bars = np.nan_to_num([middle - low, high - middle])
    at = x + step * np.array(beside)
    ax.errorbar(at, middle, bars, fmt="o", color="black", ms=5, capsize=3, label="measured")
    ax.axhline(1, color=GREY, lw=0.8, ls=":")
    ax.set_yscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.yaxis.set_minor_formatter(NullFormatter())
    known = np.r_[low, high, middle][np.isfinite(np.r_[low, high, middle])]
    if known.size:
        ax.set_ylim(min(0.5, known.min()) * 0.8, max(2, known.max()) * 1.25)
    ax.set_ylabel("cost of a stable latent / an unstable one")
    ax.set_title("at equal firing rate, by regression")


def _energy(ax: Axes, x: np.ndarray, middle: np.ndarray) -> None:
    """The prediction: the ratio at the first scale, over the square of the scale."""
    first = middle[x == x.min()].mean()
    line = np.linspace(x.min(), x.max(), 100)
    text = "predicted: one over the square of the scale"
    ax.plot(line, first * (x.min() / line) ** 2, color="black", lw=1.3, label=text)


def _classes(ax: Axes, x: np.ndarray, parts: list[xr.Dataset]) -> None:
    """EV lost with the same number of latents of either class zeroed."""
    step = 0.06 * max(np.ptp(x), 1) / 2
    for shift, label in ((-1, "stable"), (1, "unstable")):
        colour, marker = LOOK[label]
        for i, (at, part) in enumerate(zip(x, parts, strict=True)):
            n = common_count(part)
            if not n:
                continue
            lost = interval_of(part.masked_cost.sel(label=label, masked=n) / n)
            bars = np.nan_to_num([[lost.estimate - lost.low], [lost.high - lost.estimate]])
            name = f"{label} latents" if i == 0 else None
            ax.errorbar(
                at + shift * step, lost.estimate, bars, fmt=marker, color=colour, ms=6, label=name
            )
    ax.set_ylim(bottom=0)
    ax.set_ylabel("explained variance lost, a latent")
    ax.set_title("as they fire, zeroed jointly")
