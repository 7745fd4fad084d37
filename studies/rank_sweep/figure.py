"""Stability and subspace recovery over the rank of a block."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import (
    GREEN,
    GREY,
    ORANGE,
    STYLE,
    error_bars,
    slices,
)
from synthsae.plot.phrases import span
from synthsae.stats import Interval

LAW_TITLES = {
    "isotropic": "no direction is special",
    "gaussian": "no direction is special",
    "sparse": "sparse features inside",
    "generalised_normal": "true axes inside, all else the same",
}


def stability_by_rank(ds: xr.Dataset) -> Figure:
    """Rank against p_hat, the coverage law and the subspace overlap: one column a block law.

    Dimensions that the user made, other than law and rank, get a row of panels for each value.
    """
    rows = list(slices(ds, keep=("law", "rank", "seed", "seed_a", "seed_b", "block", "angle")))
    laws = [str(law) for law in ds.law.values]
    with rc_context(STYLE):
        size = (3.75 * max(len(laws), 1.3), 0.5 + 3.1 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(rows), len(laws), sharex=True, sharey=True, squeeze=False)
        for panels, (label, part) in zip(axes, rows, strict=True):
            for ax, law in zip(panels, laws, strict=True):
                _stability_panel(ax, part.sel(law=law), law)
            panels[0].set_ylabel("\n".join(filter(None, [label, "share"])))
        for ax in axes[-1]:
            ax.set_xlabel("rank of the planted block")
        figure.suptitle(
            "Without preferred directions, latents stop coming back as rank grows; "
            "their subspace stays",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        keys = {
            label: h
            for ax in axes.flat
            for h, label in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        figure.legend(keys.values(), keys, loc="outside lower center", ncols=min(3, 1 + len(laws)))
    return figure


def _implied_rank_inset(ax: Axes, ds: xr.Dataset) -> None:
    """The rank that p_hat implies by the law against the rank planted, on logarithmic scales."""
    shown = ds.isel(rank=np.isfinite(ds.implied_rank_high.values))
    planted, implied = shown["rank"].values, shown.implied_rank.values
    if not len(planted):
        return
    inset = ax.inset_axes((0.1, 0.14, 0.3, 0.36))
    ends = np.array([implied - shown.implied_rank_low, shown.implied_rank_high - implied])
    inset.plot(planted, planted, color=GREY, lw=0.8)
    inset.errorbar(planted, implied, ends, fmt="o", color=ORANGE, ms=2.5, lw=0.8)
    inset.set_xscale("log", base=2)
    inset.set_yscale("log", base=2)
    ticks = 4 ** np.arange(1 + np.ceil(np.log(max(planted, default=1)) / np.log(4)))
    inset.set_xticks(ticks, [f"{t:.0f}" for t in ticks], fontsize=6)
    inset.set_yticks(ticks, [f"{t:.0f}" for t in ticks], fontsize=6)
    inset.set_title("rank implied by p_hat\nagainst rank planted", fontsize=6.5)


def _stability_panel(ax: Axes, ds: xr.Dataset, law: str) -> None:
    """One law: subspace overlap, p_hat with its interval, and what rotations of the codes give."""
    x, lawful = np.arange(ds.sizes["rank"]), bool(ds.coverage_a_priori.notnull().any())
    mean = ds.block_reappearance.mean(("seed", "block"))
    p = Interval(mean.values, ds.block_reappearance_low.values, ds.block_reappearance_high.values)
    overlap = ds.subspace_overlap.mean(("seed", "block"))
    rotated = ds.coverage_prediction.mean(("seed", "block"))
    ax.plot(
        x,
        overlap,
        "s-",
        color=GREEN,
        mfc="none",
        ms=8,
        label="subspace: overlap with planted",
    )
    ax.errorbar(
        x,
        p.estimate,
        error_bars(p),
        fmt="o",
        color=ORANGE,
        ms=4.5,
        capsize=3,
        zorder=5,
        label="latents found in another seed (p_hat)",
    )
    if lawful:
        ax.plot(x, rotated, color="black", lw=1.3, label="coverage law (Monte Carlo)")
        ax.plot(
            x,
            ds.coverage_a_priori,
            color="black",
            lw=1,
            ls="--",
            label="coverage law before training",
        )
    else:
        ax.plot(x, rotated, color="black", lw=1.3, ls=":", label="null: codes rotated at random")
    ax.plot(x, ds.block_reappearance_chance.mean("seed"), color=GREY, lw=1, ls="-.", label="chance")
    ax.set_xticks(x, [str(r) for r in ds["rank"].values])
    ax.set_ylim(-0.03, 1.06)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    if lawful and len(x) > 2:
        _implied_rank_inset(ax, ds)
    title = LAW_TITLES[law]
    if np.isfinite(p.estimate).all():
        title += f"\nlatents {span(p.estimate, '.0%')}"
        if np.isfinite(least := np.floor(100 * overlap.min().item())):
            title += f", subspace {least:.0f}% or more"
    ax.set_title(title)
