"""Agreement between seeds beside agreement with the truth, over the samples seen."""

import json

import numpy as np
import xarray as xr
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from synthsae.arrays import Array
from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import number, span
from synthsae.plot.worlds import SEEDS
from synthsae.seeds.intervals import interval_of

SCORES = (
    ("feature_mcc", BLUE, "s", "MCC with the truth"),
    ("pairwise_mcc", ORANGE, "o", "PW-MCC between seeds"),
)


def agreement_by_samples(ds: xr.Dataset) -> Figure:
    """Left, both scores over the samples; right, one against the other, a point a seed.

    A row for every value of other dimensions; intervals are over worlds.
    """
    rows = list(slices(ds, keep=("n_steps", "world_seed", *SEEDS)))
    batch = json.loads(ds.attrs["config"])["base"]["train"]["batch_size"]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 0.6 + 3.7 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 2, squeeze=False)
        for (left, right), (label, part) in zip(axes, rows, strict=True):
            _over_samples(left, part, batch)
            _against(right, part, batch)
            left.set_ylabel("\n".join(filter(None, [label, "mean cosine of matched directions"])))
        figure.suptitle(_title(ds), x=0.01, ha="left", fontsize=11)
    return figure


def _title(ds: xr.Dataset) -> str:
    """What the rank correlation within a budget says, if anything."""
    order = float(rank_correlation(ds).mean())
    if not order > 0:
        return f"Agreement with the truth and between seeds: rank correlation {number(order)}"
    said = f"rank correlation {number(order)} within a budget"
    return f"Seeds that agree more with the others are nearer to the truth: {said}"


def by_seed(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """MCC with the truth of every seed, and its mean PW-MCC with the others."""
    return ds.feature_mcc, ds.pairwise_mcc.mean("seed_b").rename(seed_a="seed")


def rank_correlation(ds: xr.Dataset) -> xr.DataArray:
    """Spearman's correlation of `by_seed` over the seeds of each world and setting.

    Within a setting, since over settings both scores rise with the samples. Seeds that are NaN are
    left out; NaN where a score is the same for all that are left.
    """

    def correlation(x: Array, y: Array) -> float:
        known = np.isfinite(x) & np.isfinite(y)
        varies = known.any() and min(np.ptp(x[known]), np.ptp(y[known])) > 0
        return float(spearmanr(x[known], y[known]).statistic) if varies else np.nan

    return xr.apply_ufunc(
        correlation,
        *by_seed(ds),
        input_core_dims=[["seed"], ["seed"]],
        vectorize=True,
    )


def _over_samples(ax: Axes, ds: xr.Dataset, batch: int) -> None:
    x = ds.n_steps.values * batch
    for name, colour, marker, label in SCORES:
        values = ds[name].transpose("n_steps", ...)
        score = interval_of(values)
        ax.errorbar(
            x,
            score.estimate,
            error_bars(score),
            fmt=f"{marker}-",
            color=colour,
            ms=4.5,
            capsize=3,
            label=label,
        )
    chance = ds.pairwise_mcc_chance.mean("world_seed")
    ax.plot(x, chance, color=GREY, ls="-.", lw=1, label="PW-MCC of random directions")
    ax.axvline(50_000, ymax=0.2, color=GREY, lw=0.8, ls=":")
    ax.text(53_000, 0.33, "Song et al.:\n50,000", fontsize=8, color=GREY)
    ax.set_xscale("log")
    ax.set_xticks(x[::2], [f"{n / 1000:.3g}k" for n in x[::2]])
    ax.set_xticks(x[1::2], [], minor=True)
    ax.set_ylim(0.3, 1.02)
    ax.set_xlabel("samples seen by each seed")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.2))
    ends = ds.pairwise_mcc.mean([d for d in ds.pairwise_mcc.dims if d != "n_steps"]).values[[0, -1]]
    ax.set_title(f"PW-MCC goes from {span(ends)} (chance {number(chance.mean(), '.3f')})")


def _against(ax: Axes, ds: xr.Dataset, batch: int) -> None:
    """PW-MCC against MCC of every seed, a colour a budget, beside equality."""
    ax.plot([0.3, 1], [0.3, 1], color=GREY, lw=1, label="equal")
    x, y = by_seed(ds)
    colours = colormaps["viridis"](np.linspace(0, 0.9, ds.sizes["n_steps"]))
    for n, colour in zip(ds.n_steps.values, colours, strict=True):
        at = (np.ravel(v.sel(n_steps=n)) for v in (x, y))
        ax.plot(*at, "o", color=colour, ms=3, alpha=0.7, mew=0, label=f"{n * batch / 1000:.3g}k")
    ax.set_xlim(0.3, 1.02)
    ax.set_ylim(0.3, 1.02)
    ax.set_xlabel("MCC of a seed with the truth")
    ax.set_ylabel("PW-MCC with the other seeds")
    ax.legend(loc="upper left", ncols=2, title="samples seen", title_fontsize=8)
    within = number(rank_correlation(ds).mean())
    ax.set_title(f"rank correlation within a budget and world: {within}")
