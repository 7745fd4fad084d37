"""The headline: p_hat of all live latents and of block latents over the dictionary, and surplus."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from synthsae.studies.width_sweep.figure import KEEP, first_full_recovery

from synthsae.plot.common import GREY, STYLE, error_bars, slices
from synthsae.plot.phrases import span
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

COLOURS = ("#E69F00", "#CC79A7", "#56B4E9", "#8A8A8A")
"""Of settings, none of which means stable, unstable, subspace or prediction."""
MARKERS = "osD^v"
CLASSES = ("live_reappearance", "block_reappearance")
"""Variables of the first two panels."""


def stability_by_class(ds: xr.Dataset) -> Figure:
    """p_hat of all live latents, p_hat of block latents, and the share of surplus latents.

    A line for every setting. It is faint where the dictionary is too small to hold all that is
    planted.
    """
    ds = ds.sortby("n_latents")
    parts = list(slices(ds, KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.1), layout="constrained")
        live, block, surplus = figure.subplots(1, 3, sharex=True)
        for (name, part), look in zip(parts, _looks(parts), strict=True):
            every, inside = (interval_of(part[n]) for n in CLASSES)
            _line(live, part, every, look, name)
            _line(block, part, inside, look, name)
            share = (part.surplus_latents / part.live_latents).mean("seed").values
            _line(surplus, part, Interval(share, share, share), look, name)
        titles = ("all live latents", "latents of blocks", "surplus: along nothing planted")
        for ax, title in zip((live, block, surplus), titles, strict=True):
            ax.set_title(title)
            ax.set_xscale("log")
            x = ds.n_latents.values
            shown = x[::-2] if len(x) > 4 else x
            ax.set_xticks(shown, [str(v) for v in shown])
            ax.xaxis.set_minor_locator(NullLocator())
            ax.set_ylim(-0.03, 1.03)
            ax.set_xlabel("latents in the dictionary")
        live.set_ylabel("p_hat: share found in another seed")
        surplus.set_ylabel("share of live latents")
        figure.suptitle(_title(ds), x=0.01, ha="left", fontsize=11)
        handles, labels = live.get_legend_handles_labels()
        handles.append(Line2D([], [], color=GREY, alpha=0.35, lw=1.5))
        labels.append("faint: too small for all that is planted")
        columns = min(3, len(handles))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


def _looks(parts: list[tuple[str, xr.Dataset]]) -> list[tuple[str, str, str]]:
    """Colour, marker and line style: colour by the first axis, the others by the rest."""
    keys = [name.split(", ", 1) for name, _ in parts]
    first = list(dict.fromkeys(k[0] for k in keys))
    rest = list(dict.fromkeys("".join(k[1:]) for k in keys))
    each = []
    for head, *tail in keys:
        i, j = first.index(head), rest.index("".join(tail))
        each.append((COLOURS[i % len(COLOURS)], MARKERS[j % len(MARKERS)], ("-", "--")[j % 2]))
    return each


def _line(ax: Axes, ds: xr.Dataset, score: Interval, look: tuple[str, str, str], name: str) -> None:
    """A score over the size; faint up to the first size that holds all of the truth."""
    x, first, bars = ds.n_latents.values, first_full_recovery(ds), error_bars(score)
    colour, marker, style = look
    for at, alpha in ((slice(0, first + 1), 0.35), (slice(first, None), 1)):
        ax.errorbar(
            x[at],
            score.estimate[at],
            bars[:, at] if np.any(bars) else None,
            fmt=marker + style,
            color=colour,
            alpha=alpha,
            ms=4.5,
            capsize=2,
            label=(name or "all") if alpha == 1 else None,
        )


def _title(ds: xr.Dataset) -> str:
    """How p_hat of both classes goes from the first size that is large enough to the largest."""
    ends = np.array(
        [
            [part[n].isel(n_latents=i).mean().item() for n in CLASSES]
            for _, part in slices(ds, KEEP)
            for i in (first_full_recovery(part), -1)
        ]
    )
    first, last = ends[::2].mean(axis=0), ends[1::2].mean(axis=0)
    live, block = (span(pair) for pair in zip(first, last, strict=True))
    blamed = last[0] < first[0] and last[1] >= first[1]
    cause = "Surplus latents make larger dictionaries look less stable" if blamed else "By size"
    return f"{cause}: p_hat {live},\nthat of block latents alone {block} (means of the settings)"
