"""Architectures side by side: over all explained variances (EV), and at one that all reach."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import PercentFormatter, ScalarFormatter
from synthsae.studies.variant_sweep.matched import at_matched_ev

from synthsae.plot.architectures import label, look
from synthsae.plot.common import (
    GREY,
    STYLE,
    error_bars,
    interval_of_each,
    interval_over_seeds,
    slices,
)
from synthsae.plot.phrases import extremes, number

KEEP = ("arch", "k", "seed", "seed_a", "seed_b", "block", "angle")
STABLE = 0.95
"""Mean p_hat from which block latents are called stable, and overlap below which a subspace is
called lost."""
LEAVES = 3.0
"""Haar standard deviations from which p_hat is said to leave the coverage law.

The standard deviation is interpolated over k as p_hat is, which holds for codes of two k that turn
together. A mean of two that turn apart varies less, down to 1 / sqrt 2 of it: the rule is lax."""

COMPARED = (
    "block_reappearance",
    "coverage_prediction",
    "coverage_prediction_sd",
    "isolated_reappearance",
    "feature_mcc",
    "subspace_overlap",
    "dead_fraction",
    "latents_per_block",
    "l0",
    "training_multiply_adds",
)
PAIRWISE = ("block_reappearance", "isolated_reappearance")
"""Scores of a seed against the others; each other score is a seed's own."""


class Verdict(NamedTuple):
    """One architecture at the matched EV; NaN where it does not reach it.

    Attributes:
        name: the architecture.
        p: mean p_hat inside blocks.
        law: the coverage law for its codes.
        sd: Haar standard deviation of p.
        outside: mean p_hat of isolated features.
        overlap: of its span with the blocks, mean over seeds and blocks.
    """

    name: str
    p: float
    law: float
    sd: float
    outside: float
    overlap: float

    @property
    def excess(self) -> float:
        """p minus the law."""
        return self.p - self.law


def verdicts(matched: xr.Dataset) -> list[Verdict]:
    """Every architecture of an `at_matched_ev`."""
    columns = (
        *("block_reappearance", "coverage_prediction", "coverage_prediction_sd"),
        *("isolated_reappearance", "subspace_overlap"),
    )
    return [
        Verdict(str(arch), *(float(matched[name].sel(arch=arch).mean()) for name in columns))
        for arch in matched.arch.values
    ]


def architectures_at_matched_ev(ds: xr.Dataset) -> Figure:
    """EV against L0, excess over the law and overlap (above); all scores at one EV (below).

    Dimensions that the user made, other than arch and k, get two rows of panels for each value.
    """
    parts = list(slices(ds.sortby("k"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6.1 * len(parts)), layout="constrained")
        frames = figure.subfigures(len(parts), squeeze=False)[:, 0]
        for frame, (name, part) in zip(frames, parts, strict=True):
            matched = at_matched_ev(part, COMPARED)
            above, below = frame.subfigures(2, height_ratios=(1, 1.1))
            _curves(above, part, matched.level)
            _scores(below, matched)
            if name:
                frame.suptitle(name)
    return figure


def _curves(frame: SubFigure, ds: xr.Dataset, level: float) -> None:
    """Every cell: what an EV costs in L0, and what it means for blocks."""
    axes = frame.subplots(1, 3)
    ev = ds.explained_variance.mean("seed")
    excess = ds.block_reappearance - ds.coverage_prediction
    curves = (
        (interval_of_each, ds.l0, "latents that fire on a sample", "sparsity"),
        (interval_over_seeds, excess, "p_hat of block latents − law", ""),
        (interval_of_each, ds.subspace_overlap.mean("block"), "overlap", "overlap with the blocks"),
    )
    for ax, (interval, values, text, title) in zip(axes, curves, strict=True):
        for arch in ds.arch.values:
            name, colour, marker = look(str(arch))
            i = interval(values.sel(arch=arch))
            bars = np.nan_to_num([i.estimate - i.low, i.high - i.estimate])
            style = dict(fmt=marker + "-", color=colour, ms=4, lw=1, elinewidth=0.6)
            ax.errorbar(ev.sel(arch=arch), i.estimate, bars, **style, label=name)
        ax.axvline(level, color=GREY, lw=0.8, ls=":")
        ax.set_xlabel("explained variance")
        ax.set_ylabel(text)
        ax.set_title(title)
    width = LEAVES * float(ds.coverage_prediction_sd.mean())
    axes[1].axhspan(-width, width, color=GREY, alpha=0.18, lw=0)
    axes[1].axhline(0, color="black", lw=0.8)
    axes[1].set_title(f"excess of p_hat inside blocks\n(band: {LEAVES:g} Haar sd, mean of cells)")
    axes[2].yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = axes[0].get_legend_handles_labels()
    frame.legend(handles, labels, loc="outside lower center", ncols=8, columnspacing=1)


def _scores(frame: SubFigure, matched: xr.Dataset) -> None:
    """Dots with 95% intervals over seeds, one line an architecture, one column a score."""
    columns = (
        ("block_reappearance", "p_hat inside blocks" + _range(matched, "block_reappearance")),
        ("isolated_reappearance", "p_hat of isolated\nfeatures"),
        ("subspace_overlap", "overlap with\nthe blocks"),
        ("feature_mcc", "MCC, isolated\nfeatures"),
        ("dead_fraction", "dead latents"),
        ("training_multiply_adds", "multiply-adds,\ntraining sample"),
    )
    axes = frame.subplots(1, len(columns), sharey=True)
    rows = [str(a) for a in matched.arch.values]
    for ax, (name, title) in zip(axes, columns, strict=True):
        for y, arch in enumerate(rows):
            _dot(ax, y, arch, matched[name].sel(arch=arch), pairwise=name in PAIRWISE)
        ax.set_title(title)
        ax.grid(axis="y", color="#EEEEEE", lw=0.8)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_xlim(-0.03, 1.06)
    _near_one(axes[1:4])
    axes[4].set_xlim(0, 1.1 * axes[4].get_xlim()[1])
    axes[5].set_xlim(0, 1.1 * axes[5].get_xlim()[1])
    axes[5].xaxis.set_major_formatter(ScalarFormatter())
    law = matched.coverage_prediction.mean(("seed", "block")).values
    axes[0].plot(law, np.arange(len(rows)), "|", color="black", ms=13, mew=1.6, label="law")
    axes[0].axvline(STABLE, color=GREY, lw=0.8, ls="--")
    axes[0].set_yticks(range(len(rows)), [label(a) for a in rows])
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    axes[0].set_xlabel("| coverage law   ¦ stable")
    frame.supxlabel(f"at EV {number(matched.level)}, interpolated over k", fontsize=9)


def _near_one(axes: Sequence[Axes]) -> None:
    """One range for scores near 1: from the whole percent below all that is drawn."""
    lows = [ax.dataLim.x0 for ax in axes if np.isfinite(ax.dataLim.x0)]
    low = min(lows, default=0.0)
    low = np.floor(100 * low - 0.5) / 100
    for ax in axes:
        ax.set_xlim(low, 1 + 0.12 * (1 - low))
        ax.set_xticks([low, 1])
        ax.set_xlabel(f"axis from {low:.0%}")


def _range(matched: xr.Dataset, name: str) -> str:
    """Least to largest mean of a score, as a second line of a title."""
    means = matched[name].mean(("seed", "block")).values
    return f":\n{extremes(means, '.0%')}" if np.isfinite(means).any() else ""


def _dot(ax: Axes, y: int, arch: str, values: xr.DataArray, *, pairwise: bool) -> None:
    """One score: its mean over seeds and its interval, kept above 0."""
    _, colour, marker = look(arch)
    own = values.mean([d for d in values.dims if d != "seed"])
    score = interval_over_seeds(values) if pairwise else interval_of_each(own)
    bars = (
        error_bars(score)
        if score.estimate <= 1
        else np.array([score.estimate - score.low, score.high - score.estimate])
    )
    ax.errorbar(
        score.estimate,
        y,
        xerr=np.reshape(np.nan_to_num(bars), (2, 1)),
        fmt=marker,
        color=colour,
        ms=5,
        capsize=2,
        lw=1,
    )
