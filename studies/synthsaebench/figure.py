"""The scores of SynthSAEBench over the budget k, beside what comes back in another seed."""

import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, error_bars, in_text, slices
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

PURPLE = "#CC79A7"
SCORES = (
    ("bench_mcc", BLUE, "s-", "MCC (absolute)"),
    ("bench_precision", GREEN, "<:", "precision"),
    ("bench_recall", GREEN, ">:", "recall"),
    ("bench_f1", GREEN, "D-", "F1"),
    ("bench_uniqueness", GREY, "v-", "uniqueness"),
    ("explained_variance", PURPLE, "^-", "explained variance"),
)


def scores_by_k(ds: xr.Dataset) -> Figure:
    """Left, the published scores; right, stability. A row for every value of other dimensions."""
    rows = list(slices(ds.sortby("k"), keep=("k", *SEEDS)))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 0.5 + 3.3 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 2, sharey=True, squeeze=False)
        for (left, right), (label, part) in zip(axes, rows, strict=True):
            for name, colour, style, text in SCORES:
                _line(
                    left,
                    part.k,
                    interval_of(part[name].transpose("k", ...)),
                    colour,
                    style,
                    text,
                )
            best = part.k.values[part.bench_f1.mean("seed").values.argmax()]
            _axis(left, part, f"{label}\nthe benchmark: F1 is best at k = {best}")
            _stability(right, part)
        for ax in axes[-1]:
            ax.set_xlabel("k, latents that fire a sample")
        for ax in axes[0]:
            handles, labels = ax.get_legend_handles_labels()
            ax.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, -0.22), ncols=2)
    return figure


def _stability(ax: Axes, ds: xr.Dataset) -> None:
    """p_hat of all live latents, of the features' latents, and the chance levels."""
    each = (
        ("live_reappearance", ORANGE, "o-", "p_hat of live latents"),
        ("stable_share", ORANGE, "x:", f"share with p_hat >= {in_text(ds, 'stable')}"),
    )
    for name, colour, style, text in each:
        _line(ax, ds.k, interval_of(ds[name]), colour, style, text)
    _line(ax, ds.k, interval_of(ds.pairwise_mcc), "black", "P-", "PW-MCC")
    _line(ax, ds.k, interval_of(ds.bench_mcc.transpose("k", ...)), BLUE, "s-", "MCC (absolute)")
    ax.plot(ds.k, ds.pairwise_mcc_chance, color="black", lw=1, ls="-.", label="PW-MCC at chance")
    ax.plot(
        ds.k,
        ds.live_reappearance_chance.mean("seed"),
        color=ORANGE,
        lw=1,
        ls="-.",
        label="p_hat at chance",
    )
    p = ds.live_reappearance.mean("seed").values
    _axis(
        ax,
        ds,
        f"\nwhat comes back: p_hat is highest, {number(p.max())}, at k = {ds.k.values[p.argmax()]}",
    )


def _line(
    ax: Axes, x: xr.DataArray, interval: Interval, colour: str, style: str, text: str
) -> None:
    ax.errorbar(
        x,
        interval.estimate,
        error_bars(interval),
        fmt=style,
        color=colour,
        ms=4,
        lw=1.2,
        capsize=2,
        label=text,
    )


def _axis(ax: Axes, ds: xr.Dataset, title: str) -> None:
    ax.axvline(float(ds.true_l0.mean()), color=GREY, lw=0.8, ls=":", label="true L0")
    ax.set_ylim(-0.03, 1.03)  # p_hat at chance is 0
    ax.set_xticks(ds.k.values)
    ax.set_title(title)
