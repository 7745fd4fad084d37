"""Atoms found over what may be scarce: latents, samples, room between the atoms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import BLUE, GREY, STYLE, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS, averaged
from synthsae.seeds.intervals import interval_of

AXES = ("n_latents", "n_steps", "rank")
"""What may be scarce: the first point of an axis is least, the last is plenty."""
MARKERS = "osD^v"
LINES = ("-", "--", ":", "-.")


def by_axes(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset by `AXES`, atoms, worlds and seeds; further dimensions are averaged over."""
    keep = (*AXES, "n_atoms")
    found = averaged(ds, *keep)
    return found.expand_dims([d for d in keep if d not in found.dims]).sortby(list(keep))


def atoms_by_scarcity(ds: xr.Dataset) -> Figure:
    """A panel for latents, samples and rank each: atoms found where the other two are plenty."""
    means = by_axes(ds)
    texts = {
        "n_latents": [f"{v / ds.sizes['block']:g}" for v in means.n_latents.values],
        "n_steps": [f"{v:,}" for v in means.n_steps.values],
        "rank": [str(v) for v in means["rank"].values],
    }
    words = {
        "n_latents": ("scarce latents", "latents a block"),
        "n_steps": ("scarce samples", "training steps"),
        "rank": ("crowded atoms", "rank of the block"),
    }
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.1), layout="constrained")
        panels = figure.subplots(1, len(AXES), sharey=True)
        for ax, axis in zip(panels, AXES, strict=True):
            _scarce(ax, means, axis, texts[axis])
            title, x = words[axis]
            ax.set_title(title)
            ax.set_xlabel(x)
        panels[0].set_ylabel("atoms with a latent of their own")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1))
        figure.suptitle(_message(means), x=0.01, ha="left", fontsize=11)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def atoms_by_latents(ds: xr.Dataset) -> Figure:
    """The supplement, a panel a rank: every number of latents, atoms and steps.

    Dimensions that the user made have panels of their own. A triangle marks as many latents as
    atoms.
    """
    parts = list(slices(ds, keep=("n_latents", "n_atoms", "n_steps", "world_seed", *SEEDS)))
    with rc_context(STYLE):
        figure = Figure(figsize=(max(9, 1 + 2.6 * len(parts)), 4.6), layout="constrained")
        panels = figure.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
        for ax, (label, part) in zip(panels, parts, strict=True):
            _all(ax, part, label)
        panels[0].set_ylabel("atoms with a latent of their own")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=ds.sizes["n_atoms"])
        title = "Atoms found in every setting (coherence: largest cosine between two atoms)"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _plenty(means: xr.Dataset, *but: str) -> xr.Dataset:
    """The last point of each of `AXES`, except those in `but`."""
    return means.isel({axis: -1 for axis in AXES if axis not in but})


def _message(means: xr.Dataset) -> str:
    """What is found with plenty of all, and with least of each, as a sentence."""
    found = means.atoms_found.isel(n_atoms=-1)
    found = found.mean([d for d in found.dims if d not in AXES])
    plenty = found.isel(dict.fromkeys(AXES, -1))
    least = [
        number(found.isel(dict.fromkeys(AXES, -1) | {axis: 0}), ".0%")
        for axis in AXES
        if means.sizes[axis] > 1
    ]
    said = f"Of {means.n_atoms.values[-1]} atoms a block {number(plenty, '.0%')} are found"
    said += " where all is plenty"
    names = ("latents", "samples", "dimensions")
    scarce = [name for name, axis in zip(names, AXES, strict=True) if means.sizes[axis] > 1]
    each = [f"{share} with few {name}" for share, name in zip(least, scarce, strict=True)]
    return said + "".join(f",\n{each[0]}" if not i else f", {e}" for i, e in enumerate(each))


def _shades(n: int) -> list[tuple[float, ...]]:
    """From pale to the blue of features."""
    full = np.array(to_rgb(BLUE))
    return [tuple(1 - (1 - full) * s) for s in (np.linspace(0.45, 1, n) if n > 1 else [1.0])]


def _scarce(ax: Axes, means: xr.Dataset, axis: str, texts: Sequence[str]) -> None:
    """Atoms found along one axis, a line for each number of atoms; the chance of the largest."""
    part = _plenty(means, axis)
    x = np.arange(part.sizes[axis], dtype=float)
    many = part.n_atoms.values
    for i, (m, colour, marker) in enumerate(zip(many, _shades(len(many)), MARKERS, strict=False)):
        found = part.atoms_found.sel(n_atoms=m).transpose(axis, ...)
        at = x + 0.07 * (i - len(many) // 2)  # beside each other
        _line(ax, at, found, colour, f"{marker}-", f"{m} atoms a block")
    chance = part.atoms_found_chance.isel(n_atoms=-1)
    mean = chance.mean([d for d in chance.dims if d != axis])
    ax.plot(x, np.minimum(mean, 1), "-.", color=GREY, lw=1.2, label="random latents: at most")
    ax.set_xticks(x, texts)
    ax.set_xlim(-0.3, len(x) - 0.7)
    ax.set_ylim(-0.03, 1.05)


def _line(
    ax: Axes, x: np.ndarray, values: xr.DataArray, colour: Any, style: str, label: str
) -> None:
    """Means with their intervals over worlds, joined."""
    score = interval_of(values)
    ax.errorbar(
        x, score.estimate, error_bars(score), fmt=style, color=colour, ms=4.5, capsize=2, lw=1.3,
        label=label,
    )  # fmt: skip


def _all(ax: Axes, ds: xr.Dataset, label: str) -> None:
    """Atoms found over the latents: a shade for the atoms a block, a line style for the samples."""
    x = ds.n_latents.values / ds.sizes["block"]
    shades = _shades(ds.sizes["n_atoms"])
    for i, (m, colour, marker) in enumerate(zip(ds.n_atoms.values, shades, MARKERS, strict=False)):
        at = x * 1.06 ** (i - ds.sizes["n_atoms"] // 2)  # beside each other
        for steps, line in zip(ds.n_steps.values[::-1], LINES, strict=False):
            found = ds.atoms_found.sel(n_atoms=m, n_steps=steps).transpose("n_latents", ...)
            _line(ax, at, found, colour, marker + line, f"{m} atoms, {steps} steps")
        ax.plot(m, -0.05, marker=6, color=colour, ms=6, clip_on=False, ls="none")
    ax.set_xscale("log", base=2)
    ax.set_xticks(x, [f"{v:g}" for v in x])
    ax.minorticks_off()
    ax.set_ylim(-0.05, 1.04)
    ax.set_xlabel("latents a block (triangle: its atoms)")
    near = ds.coherence.isel(n_latents=-1, n_steps=-1)
    near = np.atleast_1d(near.mean([d for d in near.dims if d != "n_atoms"]))
    ax.set_title(f"{label}, coherence " + ", ".join(number(c) for c in near))
