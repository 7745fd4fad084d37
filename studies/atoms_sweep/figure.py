"""Atoms found over the latents that there are for them."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS
from synthsae.seeds.intervals import interval_of

COLOURS = (BLUE, ORANGE, GREEN, "black", GREY)
LINES = ("-", "--", ":", "-.")


def atoms_by_latents(ds: xr.Dataset) -> Figure:
    """Latents against atoms found: a colour for the atoms a block, a line style for the samples.

    One panel for every value of the other dimensions (rank); intervals are over worlds. A tick
    below marks where there are as many latents as atoms.
    """
    panels = list(slices(ds, keep=("n_latents", "n_atoms", "n_steps", "world_seed", *SEEDS)))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.1 + 2.35 * len(panels), 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for ax, (label, part) in zip(axes, panels, strict=True):
            _panel(ax, part, label)
        axes[0].set_ylabel("atoms with a latent of their own")
        axes[0].yaxis.set_major_formatter(PercentFormatter(1))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=ds.sizes["n_atoms"])
    return figure


def _panel(ax: Axes, ds: xr.Dataset, label: str) -> None:
    blocks = ds.sizes["block"]
    x = ds.n_latents.values / blocks
    for i, (m, colour) in enumerate(zip(ds.n_atoms.values, COLOURS, strict=False)):
        for steps, line in zip(ds.n_steps.values[::-1], LINES, strict=False):
            found = interval_of(
                ds.atoms_found.sel(n_atoms=m, n_steps=steps).transpose("n_latents", ...)
            )
            ax.errorbar(
                x * 1.05 ** (i - ds.sizes["n_atoms"] // 2),  # beside each other
                found.estimate,
                error_bars(found),
                fmt=f"o{line}",
                color=colour,
                ms=4,
                capsize=2,
                lw=1.3,
                label=f"{m} atoms, {steps} steps",
            )
        ax.plot(m, -0.05, marker=6, color=colour, ms=6, clip_on=False, ls="none")
    ax.set_xscale("log", base=2)
    ax.set_xticks(x, [f"{v:g}" for v in x])
    ax.minorticks_off()
    ax.set_ylim(-0.05, 1.04)
    ax.set_xlabel("latents a block (triangle: its atoms)")
    best = ds.atoms_found.isel(n_latents=-1, n_steps=-1).mean(("world_seed", "seed", "block"))
    near = ds.coherence.isel(n_latents=-1, n_steps=-1).mean(("world_seed", "block"))
    rows = [
        f"{m} atoms (coherence {number(c)}): {number(b, '.0%')}"
        for m, c, b in zip(ds.n_atoms.values, np.atleast_1d(near), np.atleast_1d(best), strict=True)
    ]
    ax.set_title("\n".join([f"{label}, at most found:", *rows]))
