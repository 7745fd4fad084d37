"""Architectures side by side: over all explained variances (EV), and at one that all reach."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import PercentFormatter
from synthsae.studies.variant_sweep.matched import at_matched_ev

from synthsae.plot.architectures import label, look
from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import extremes, number, span
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

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


def blocks_at_matched_ev(ds: xr.Dataset) -> Figure:
    """At one EV, by architecture: p_hat beside the coverage law, and overlap with the blocks.

    Dimensions that the user made, other than arch and k, get a row of panels for each value.
    """
    parts = list(slices(ds.sortby("k"), KEEP))
    each = [at_matched_ev(part, COMPARED) for _, part in parts]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.7 * len(parts) + 0.7))
        figure.set_layout_engine("constrained", w_pad=0.1)
        grid = figure.subplots(len(parts), 2, squeeze=False, width_ratios=(1.5, 1))
        for axes, (name, _), matched in zip(grid, parts, each, strict=True):
            _stability(axes[0], matched)
            _overlap(axes[1], matched)
            for ax in axes:
                _rows(ax, matched)
            axes[0].set_yticks(*_names(matched))
            axes[0].set_ylabel(name)
            axes[1].set_yticks(range(matched.sizes["arch"]), [])
        marks = [ax.get_legend_handles_labels() for ax in grid[0]]
        handles, labels = marks[0][0] + marks[1][0], marks[0][1] + marks[1][1]
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(_answer(each), x=0.01, ha="left", fontsize=11)
    return figure


def _answer(each: Sequence[xr.Dataset]) -> str:
    """The two answers, with what is compared, as a title."""
    found = [v for matched in each for v in verdicts(matched) if np.isfinite(v.p)]
    if not found:
        return "No explained variance is reached by all architectures: nothing is compared"
    stable = [label(v.name) for v in found if v.p >= STABLE]
    lost = [label(v.name) for v in found if v.overlap < STABLE]
    made = f"{', '.join(dict.fromkeys(stable))} makes" if stable else "no architecture makes"
    kept = f"{', '.join(dict.fromkeys(lost))} loses" if lost else "none loses"
    at = span(sorted({matched.level for matched in each}))
    return f"At one explained variance ({at}) {made} block latents stable,\nand {kept} the subspace"


def _stability(ax: Axes, matched: xr.Dataset) -> None:
    """p_hat of block latents and of isolated features, and the law for the former."""
    law = matched.coverage_prediction.mean(("seed", "block")).values
    y = np.arange(len(law))
    kinds = (
        ("block_reappearance", ORANGE, "o", "block latents"),
        ("isolated_reappearance", BLUE, "s", "latents of isolated features"),
    )
    for name, colour, marker, text in kinds:
        _intervals(ax, interval_of(matched[name]), colour, marker, text)
    text = "predicted for block latents: coverage law"
    ax.plot(law, y, "|", color="black", ms=15, mew=1.8, zorder=3, label=text)
    ax.axvline(
        STABLE, color=GREY, lw=0.8, ls="--", label=f"called stable, or kept, from {STABLE:.0%} on"
    )
    ax.set_xlim(-0.02, 1.04)
    ax.set_xlabel("p_hat: share of other seeds that have the latent")
    block, isolated = (_range(matched, name) for name, *_ in kinds)
    ax.set_title(f"p_hat: {block} for block latents, {isolated} for isolated features")


def _overlap(ax: Axes, matched: xr.Dataset) -> None:
    """Overlap of the learned span with the blocks, from .9 or from below all that is drawn."""
    seen = interval_of(matched.subspace_overlap)
    _intervals(ax, seen, GREEN, "D", "span of the latents, in the block's subspace")
    low = np.nanmin([0.9, *np.ravel(seen.low), *np.ravel(seen.estimate)])
    ax.set_xlim(max(0.0, np.floor(20 * low) / 20), 1.005)
    ax.axvline(STABLE, color=GREY, lw=0.8, ls="--")
    ax.set_xlabel(f"overlap with the blocks (axis from {ax.get_xlim()[0]:.0%})")
    ax.set_title(f"overlap: {_range(matched, 'subspace_overlap', '.1%')}")


def _intervals(ax: Axes, seen: Interval, colour: str, marker: str, text: str) -> None:
    """A dot and its 95% interval for each architecture, kept inside [0, 1]."""
    bars, y = error_bars(seen), np.arange(len(seen.estimate))
    ax.errorbar(
        seen.estimate, y, xerr=bars, fmt=marker, color=colour, ms=6, capsize=3, lw=1.2, label=text
    )


def _rows(ax: Axes, matched: xr.Dataset) -> None:
    """One line an architecture, the first on top."""
    ax.grid(axis="y", color="#EEEEEE", lw=0.8)
    ax.set_axisbelow(True)
    ax.set_ylim(matched.sizes["arch"] - 0.5, -0.5)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _names(matched: xr.Dataset) -> tuple[range, list[str]]:
    """Ticks and their labels: architectures."""
    return range(matched.sizes["arch"]), [label(str(a)) for a in matched.arch.values]


def architectures_by_ev(ds: xr.Dataset) -> Figure:
    """Sparsity, excess over the law and overlap at every EV (above); other scores at one (below).

    Dimensions that the user made, other than arch and k, get two rows of panels for each value.
    """
    parts = list(slices(ds.sortby("k"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 6.3 * len(parts)))
        figure.set_layout_engine("constrained", w_pad=0.1)
        frames = figure.subfigures(len(parts), squeeze=False)[:, 0]
        for frame, (name, part) in zip(frames, parts, strict=True):
            matched = at_matched_ev(part, COMPARED)
            above, below = frame.subfigures(2, height_ratios=(1.15, 1))
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
        (ds.l0, "latents that fire on a sample", "sparsity"),
        (excess, "p_hat of block latents − law", ""),
        (ds.subspace_overlap.mean("block"), "overlap", "overlap with the blocks"),
    )
    for ax, (values, text, title) in zip(axes, curves, strict=True):
        for arch in ds.arch.values:
            name, colour, marker = look(str(arch))
            i = interval_of(values.sel(arch=arch))
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
    frame.legend(handles, labels, loc="outside lower center", ncols=4)


def _scores(frame: SubFigure, matched: xr.Dataset) -> None:
    """Dots with 95% intervals over seeds, one line an architecture, one column a score."""
    columns = (
        ("l0", "latents that fire\non a sample"),
        ("dead_fraction", "dead latents"),
        ("feature_mcc", "MCC, isolated\nfeatures"),
        ("training_multiply_adds", "multiply-adds,\ntraining sample"),
    )
    axes = frame.subplots(1, len(columns), sharey=True)
    for ax, (name, title) in zip(axes, columns, strict=True):
        for y, arch in enumerate(matched.arch.values):
            _dot(ax, y, str(arch), matched[name].sel(arch=arch))
        ax.set_title(title)
        ax.grid(axis="y", color="#EEEEEE", lw=0.8)
        ax.set_xlim(0, 1.1 * ax.get_xlim()[1])
    for ax in axes[1:3]:
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _near_one(axes[2])
    axes[0].set_yticks(*_names(matched))
    axes[0].set_ylim(matched.sizes["arch"] - 0.4, -0.6)
    at = number(matched.level)
    frame.supxlabel(f"at explained variance {at}, by interpolation over k", fontsize=9)


def _near_one(ax: Axes) -> None:
    """A range for scores near 1: from the whole percent below all that is drawn."""
    low = ax.dataLim.x0 if np.isfinite(ax.dataLim.x0) else 0.0
    low = np.floor(100 * low - 0.5) / 100
    ax.set_xlim(low, 1 + 0.12 * (1 - low))
    ax.set_xticks([low, 1])
    ax.set_xlabel(f"axis from {low:.0%}")


def _range(matched: xr.Dataset, name: str, form: str = ".0%") -> str:
    """Least to largest mean of a score over architectures, in percent."""
    values = matched[name]
    return extremes(values.mean([d for d in values.dims if d != "arch"]), form)


def _dot(ax: Axes, y: int, arch: str, values: xr.DataArray) -> None:
    """A score that each seed has alone: its mean over seeds and its interval, kept above 0."""
    _, colour, marker = look(arch)
    score = interval_of(values)
    bars = error_bars(score, most=1.0 if score.estimate <= 1 else np.inf)
    ends = np.reshape(bars, (2, 1))
    ax.errorbar(score.estimate, y, xerr=ends, fmt=marker, color=colour, ms=5, capsize=2, lw=1)
