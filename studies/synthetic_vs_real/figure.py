"""Planted world and language model side by side: classes of p_hat, and how freely latents turn."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, error_bars
from synthsae.plot.phrases import number
from synthsae.plot.report import settings
from synthsae.seeds.intervals import interval_of

COLOURS = {"stable": BLUE, "middle": GREY, "unstable": ORANGE}
MARKERS = "osD^vP"


def classes_and_ranks(ds: xr.Dataset) -> Figure:
    """Left, the shares of stable, middle and unstable latents of each source; right, in how many
    dimensions a median latent of each class turns.
    """
    parts = {label or "planted world": part for label, part in settings(ds)}
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _classes(left, parts)
        _ranks(right, parts)
        ends = list(parts.items())[:: max(len(parts) - 1, 1)]
        told = (f"{number(part.stable_share.mean(), '.0%')} in {name}" for name, part in ends)
        title = f"Latents that come back in every SAE are {' but '.join(told)}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _classes(ax: Axes, parts: dict[str, xr.Dataset]) -> None:
    """A bar for each source, of the three classes; shares of .04 or more are written in it."""
    for y, part in enumerate(parts.values()):
        stable, unstable = (float(part[f"{c}_share"].mean()) for c in ("stable", "unstable"))
        start = 0.0
        shares = (stable, 1 - stable - unstable, unstable)
        for (kind, colour), share in zip(COLOURS.items(), shares, strict=True):
            ax.barh(y, share, left=start, color=colour, height=0.5, label=kind if y == 0 else None)
            if share >= 0.04:
                ax.text(
                    start + share / 2, y, f"{share:.0%}", ha="center", va="center", color="white"
                )
            start += np.nan_to_num(share)
    ax.set_yticks(range(len(parts)), [name.replace(", ", "\n") for name in parts])
    ax.set_ylim(len(parts) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("share of the live latents")
    ax.legend(loc="lower center", ncols=3)
    ax.set_title("found in every other SAE (stable), in none (unstable)")


def _ranks(ax: Axes, parts: dict[str, xr.Dataset]) -> None:
    """Median rank of one latent in each class, and the number of dimensions, of each source."""
    beside = 0.12 * (np.arange(len(parts)) - (len(parts) - 1) / 2)
    for i, ((name, part), shift) in enumerate(zip(parts.items(), beside, strict=True)):
        rank = interval_of(part.class_latent_rank.transpose("label", "seed"))
        look: dict[str, Any] = dict(marker=MARKERS[i % 6], ms=6, capsize=3, ls="none")
        for at, (colour, mean, bars) in enumerate(
            zip(COLOURS.values(), rank.estimate, error_bars(rank, np.inf, 1).T, strict=True)
        ):
            ax.errorbar(at + shift, mean, bars[:, None], color=colour, **look)
        d = int(part.transfer_chance.count("r")) - 1
        ax.axhline(d, color=GREY, lw=1, ls="-.")
        ax.text(2.45, d * 1.05, f"all {d} dimensions of {name}", ha="right", va="bottom", size=8)
        ax.plot([], [], color="black", label=name, marker=look["marker"], ls="none")
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ax.set_ylim(bottom=0.7)
    ax.set_xticks(range(3), list(COLOURS))
    ax.set_xlim(-0.5, 2.5)
    ax.set_ylabel("dimensions in which a median latent turns")
    ax.set_title("how freely latents turn from SAE to SAE")
    ax.legend(loc="lower right")
