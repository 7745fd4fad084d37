"""Stability over the size of the dictionary, what latents stand for, and how many a block has."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import span
from synthsae.seeds.intervals import interval_of

RECOVERED = 0.95
"""Share of isolated features and of blocks' subspaces that counts as all."""

KEEP = ("n_latents", "seed", "seed_a", "seed_b", "block", "angle")


def first_full_recovery(ds: xr.Dataset) -> int:
    """Position of the smallest dictionary that recovers all that is planted; 0 if none does.

    Isolated features come back in other seeds, and the subspaces of blocks are learned.
    """
    found = ds.isolated_reappearance.mean("seed").values >= RECOVERED
    return int(np.argmax(found & (ds.subspace_overlap.mean(("seed", "block")).values >= RECOVERED)))


def stability_by_width(ds: xr.Dataset) -> Figure:
    """Latents against p_hat (above), what they stand for, and how many a block has (below).

    Every other dimension (noise, k) makes columns.
    """
    parts = list(slices(ds.sortby("n_latents"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.8 + 2.35 * len(parts), 7.4), layout="constrained")
        axes = figure.subplots(3, len(parts), sharex=True, sharey="row", squeeze=False)
        for (above, middle, below), (label, part) in zip(axes.T, parts, strict=True):
            _stability(above, part, label)
            _kinds(middle, part)
            _latents(below, part)
        names = ("share found in another seed", "share of all latents", "latents in a block")
        for row, text in zip(axes, names, strict=True):
            row[0].set_ylabel(text)
            handles, labels = row[0].get_legend_handles_labels()
            row[-1].legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5))
        for ax in axes[-1]:
            ax.set_xlabel("latents in the dictionary")
    return figure


def _stability(ax: Axes, ds: xr.Dataset, label: str) -> None:
    """p_hat of all live latents, and apart: isolated features, block latents, surplus."""
    x = ds.n_latents.values
    chance = ds.live_reappearance_chance.mean("seed")
    ax.plot(x, chance, color=GREY, lw=1, ls="-.", label="chance")
    law = ds.coverage_prediction.mean(("seed", "block"))
    ax.plot(x, law, color=ORANGE, lw=1.3, ls="--", label="coverage law")
    ax.fill_between(
        x,
        ds.predicted_reappearance_enough,
        ds.predicted_reappearance,
        color=ORANGE,
        alpha=0.2,
        lw=0,
        label="block latents before training:\nleast loss, and 1% above it",
    )
    for name, color, marker, text in (
        ("surplus_reappearance", GREY, "v", "surplus latents"),
        ("block_reappearance", ORANGE, "s", "block latents"),
        ("isolated_reappearance", BLUE, "o", "isolated features"),
        ("live_reappearance", "black", "D", "all live latents"),
    ):
        i = interval_of(ds[name])
        ax.errorbar(
            x,
            i.estimate,
            error_bars(i),
            fmt=f"{marker}" if name == "block_reappearance" else f"{marker}-",
            color=color,
            ms=4,
            lw=1.6 if color == "black" else 1,
            capsize=2,
            label=text,
        )
    every, block = (
        ds[name].mean([d for d in ds[name].dims if d != "n_latents"]).values
        for name in ("live_reappearance", "block_reappearance")
    )
    first = first_full_recovery(ds)
    ax.set_title(
        f"{label}\n{span(x[[first, -1]], '.0f')} latents: all live\n"
        f"{_percent(every[first], every[-1])}, blocks {_percent(block[first], block[-1])}"
    )
    ax.set_xscale("log")
    ax.set_xticks(x[::2], [str(v) for v in x[::2]])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-0.03, 1.06)
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def _percent(first: float, last: float) -> str:
    """Two shares as a range: 12 to 34%."""
    text = span([first, last], ".0%")
    return text.replace("% to ", " to ")


def _kinds(ax: Axes, ds: xr.Dataset) -> None:
    """Shares of all latents: isolated features', blocks', surplus, dead."""
    x = ds.n_latents.values
    kinds = (
        ("feature_latents", BLUE, "isolated features'"),
        ("block_latents", ORANGE, "blocks'"),
        ("surplus_latents", GREY, "surplus: nothing planted"),
        ("dead_latents", "#E5E5E5", "dead"),
    )
    shares = [ds[name].mean("seed").values / x for name, _, _ in kinds]
    ax.stackplot(
        x, shares, colors=[c for _, c, _ in kinds], labels=[t for _, _, t in kinds], alpha=0.85
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def _latents(ax: Axes, ds: xr.Dataset) -> None:
    """Latents of a block: measured, predicted by the least loss, and all that features leave."""
    x = ds.n_latents.values
    low, high = ds.predicted_latents_enough, ds.predicted_latents
    text = "before training:\nleast loss, and 1% above it"
    ax.fill_between(x, low, high, color=ORANGE, alpha=0.2, lw=0, label=text)
    ax.plot(x, high, color=ORANGE, lw=1.3, ls="--")
    m = ds.latents_per_block.mean("block")
    mean, spread = m.mean("seed"), m.std("seed", ddof=1)
    ax.errorbar(x, mean, spread, fmt="s", color=ORANGE, ms=4, capsize=2, label="measured")
    ax.set_yscale("symlog", linthresh=4)
    ticks = [0, 2, 4, 8, 16, 32, 64, 128]
    ax.set_yticks(ticks, [str(t) for t in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-0.3, 200)
