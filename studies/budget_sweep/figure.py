"""Stability over the training budget: what undertraining looks like, and what tells it apart."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, defined, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

PURPLE = "#CC79A7"


def first_stable(ds: xr.Dataset) -> float:
    """The least budget, in samples, from which isolated features' mean p_hat is stable, or NaN."""
    below = np.flatnonzero(~(ds.isolated_reappearance.mean("seed").values >= defined(ds, "stable")))
    after = below[-1] + 1 if len(below) else 0
    samples = ds.training_samples.values
    return float(samples[after]) if after < len(samples) else np.nan


def stability_by_budget(ds: xr.Dataset) -> Figure:
    """Samples against p_hat (above) and against the signs of undertraining (below), by rank.

    Dimensions that the user made, other than n_steps and rank, get columns of their own.
    """
    keep = ("n_steps", "seed", "seed_a", "seed_b", "block", "angle")
    parts = list(slices(ds.sortby("n_steps"), keep))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.9 + 2.9 * len(parts), 5.4), layout="constrained")
        axes = figure.subplots(2, len(parts), sharex=True, sharey=True, squeeze=False)
        for (above, below), (label, part) in zip(axes.T, parts, strict=True):
            _latents(above, part, label)
            _signs(below, part)
        for row in axes:
            handles, labels = row[0].get_legend_handles_labels()
            row[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))
        axes[0, 0].set_ylabel("share found again in another seed")
        axes[1, 0].set_ylabel("share of variance or energy")
        for ax in axes[-1]:
            ax.set_xlabel("training samples of a seed")
    return figure


def _latents(ax: Axes, ds: xr.Dataset, label: str) -> None:
    """p_hat of isolated features and of block latents, the law, and what chance gives."""
    x, law = ds.training_samples, ds.coverage_prediction.mean(("seed", "block"))
    _points(ax, x, interval_of(ds.isolated_reappearance), BLUE, "o-", "isolated features")
    _points(ax, x, interval_of(ds.block_reappearance), ORANGE, "s-", "block latents")
    ax.plot(x, law, color="black", lw=1.3, label="coverage law,\ncodes as they are")
    ax.plot(x, ds.coverage_a_priori, color="black", lw=1, ls="--", label="… before training")
    ax.plot(
        x, ds.initial_reappearance.mean("seed"), "x", color=GREY, ms=4, label="agreement at step 0"
    )
    ax.plot(x, ds.isolated_reappearance_chance, color=GREY, lw=1, ls="-.", label="chance")
    _budget_axis(ax, ds)
    at, found = first_stable(ds), float(ds.block_reappearance[{"n_steps": -1}].mean())
    ax.set_title(
        f"{label}: isolated features {defined(ds, 'stable'):.0%} stable\n"
        + (f"from {at / 1000:.3g}k samples, " if np.isfinite(at) else "nowhere, ")
        + f"blocks at {number(found, '.0%')}"
    )


def _signs(ax: Axes, ds: xr.Dataset) -> None:
    """EV, recovery of the subspace, and whether latents that are not stable share one subspace."""
    x = ds.training_samples.values
    ev = interval_of(ds.explained_variance)
    overlap = interval_of(ds.subspace_overlap.mean("block"))
    names = ("not_stable_transfer", "not_stable_transfer_null")
    score, null = (interval_of(ds[n]) for n in names)
    _points(ax, x, ev, PURPLE, "^-", "explained variance")
    _points(ax, x, overlap, GREEN, "s-", "share of the block\nthat latents span")
    _points(
        ax,
        x,
        score,
        "black",
        "D-",
        "latents that are not stable:\nshare in the subspace of\nthose of another seed",
    )
    _points(ax, x, null, GREY, ".:", "null: … of as many\nstable latents")
    above = list(score.estimate > null.estimate)
    ax.fill_between(x, null.estimate, score.estimate, where=above, color=GREY, alpha=0.25, lw=0)
    _budget_axis(ax, ds)
    gain = interval_of((ds[names[0]] - ds[names[1]]).isel(n_steps=-1))
    title = "latents that are not stable share\n"
    title += f"a subspace: {number(gain.estimate, '+.2f')} over the null"
    if np.isfinite(gain.low):
        title += f"\n[{number(gain.low)}, {number(np.minimum(gain.high, 1))}]"
    ax.set_title(title)


def _points(ax: Axes, x: ArrayLike, i: Interval, color: str, style: str, label: str) -> None:
    """Means with their 95% intervals, joined."""
    ax.errorbar(
        x,
        i.estimate,
        error_bars(i),
        fmt=style,
        color=color,
        ms=4,
        lw=1,
        capsize=2,
        label=label,
    )


def _budget_axis(ax: Axes, ds: xr.Dataset) -> None:
    """Log samples with room for 0, and a line where isolated features become stable."""
    x = ds.training_samples.values
    positive = x[(x > 0) & np.isfinite(x)]
    if len(positive):
        ax.set_xscale("symlog", linthresh=positive.min(), linscale=0.7)
        ax.set_xticks(
            [0, *10 ** np.arange(np.ceil(np.log10(positive.min())), np.log10(positive.max()))]
        )
    ax.axvline(first_stable(ds), color=BLUE, lw=0.8, alpha=0.6, zorder=0)
    ax.set_ylim(-0.03, 1.06)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
