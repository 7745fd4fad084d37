"""Stability where seeds share their start, their data, both or neither."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import GREY, STYLE, error_bars, slices
from synthsae.plot.phrases import number
from synthsae.plot.worlds import SEEDS
from synthsae.seeds.intervals import interval_of

SOURCES = {
    ("shared", "shared"): ("#BBBBBB", "D", "start and data shared"),
    ("shared", "independent"): ("#CC79A7", "^", "start shared, data differ"),
    ("independent", "shared"): ("#56B4E9", "o", "data shared, start differs"),
    ("independent", "independent"): ("#E69F00", "s", "start and data differ"),
}
"""(init, data) -> colour, marker, label; colours that mean nothing elsewhere."""
KEEP = ("n_steps", "init", "data", "world_seed", *SEEDS)


def over_worlds(ds: xr.Dataset) -> xr.Dataset:
    """The mean over worlds, where there are several."""
    return ds.mean("world_seed") if "world_seed" in ds.dims else ds


def law(ds: xr.Dataset) -> xr.DataArray:
    """The coverage law for codes whose seeds share nothing (or the least that there is)."""
    least = over_worlds(ds).coverage_prediction.sortby(["init", "data"]).isel(init=0, data=0)
    return least.mean(("seed", "block"))


def stability_by_source(ds: xr.Dataset) -> Figure:
    """Samples against p_hat of block latents, a panel for every rank (and other axis).

    One line for what the seeds share; intervals are over worlds.
    """
    parts = list(slices(ds.sortby("n_steps"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(max(6, 0.6 + 4.2 * len(parts)), 4.2), layout="constrained")
        axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for ax, (label, part) in zip(axes, parts, strict=True):
            _panel(ax, part, "block_reappearance")
            _references(ax, part)
            ax.set_title(label)
        axes[0].set_ylabel("p_hat of block latents:\nshare found in another seed")
        figure.suptitle(_title(*parts[-1]), x=0.01, ha="left", fontsize=11)
        _legend(figure, axes[0])
    return figure


def cosine_by_source(ds: xr.Dataset) -> Figure:
    """The supplement: samples against the cosine of a block latent with its own start."""
    parts = list(slices(ds.sortby("n_steps"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(max(6, 0.6 + 4.2 * len(parts)), 4), layout="constrained")
        axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for ax, (label, part) in zip(axes, parts, strict=True):
            _panel(ax, part, "start_memory")
            ax.axhline(0, color=GREY, lw=1, ls="-.", label="no memory of the start")
            ax.set_ylim(-0.05, 1.05)
            ax.set_title(label)
        axes[0].set_ylabel("cosine of a block latent with its own\nstart, inside the block")
        last = parts[-1][1].start_memory.isel(n_steps=-1).mean()
        title = "Block latents stay near the direction in which they start: "
        title += f"mean cosine {number(last)} at the end" + (f", {parts[-1][0]}" * (len(parts) > 1))
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        _legend(figure, axes[0])
    return figure


def _title(label: str, ds: xr.Dataset) -> str:
    """p_hat at the largest budget where one source is shared, or neither."""
    end = over_worlds(ds).block_reappearance.isel(n_steps=-1).mean(("seed", "block"))
    found = {
        text: float(end.sel(init=init, data=data))
        for text, init, data in (
            ("with the same start", "shared", "independent"),
            ("with the same data", "independent", "shared"),
            ("with neither", "independent", "independent"),
        )
        if init in ds["init"] and data in ds["data"]
    }
    decides = len(found) == 3 and max(found, key=lambda text: found[text]) == next(iter(found))
    where = f" ({label})" if label else ""
    head = f"The start decides more than the data{where}:\n" if decides else ""
    said = ", ".join(f"{number(value)} {text}" for text, value in found.items())
    return f"{head}after the longest training p_hat is {said}"


def _panel(ax: Axes, ds: xr.Dataset, name: str) -> None:
    """A variable over the budget, a line for what is shared, with 95% intervals over worlds."""
    x = np.arange(ds.sizes["n_steps"])  # evenly spaced budgets
    for i, ((init, data), (color, marker, label)) in enumerate(SOURCES.items()):
        if init not in ds["init"] or data not in ds["data"]:
            continue
        score = interval_of(ds[name].sel(init=init, data=data).transpose("n_steps", ...))
        ax.errorbar(
            x + 0.02 * (i - 1.5),
            score.estimate,
            error_bars(score),
            fmt=f"{marker}-",
            color=color,
            ms=5,
            capsize=3,
            label=label,
        )
    inside = [d for d in ds.training_samples.dims if d != "n_steps"]
    samples = ds.training_samples.mean(inside).values
    ax.set_xticks(x, [f"{n:,.0f}" for n in samples])
    ax.set_xlim(-0.25, len(x) - 0.75)
    ax.set_xlabel("training samples of a seed")


def _references(ax: Axes, ds: xr.Dataset) -> None:
    """The coverage law, and p_hat of random directions."""
    x = np.arange(ds.sizes["n_steps"])
    text = "coverage law: codes turned at random"
    ax.plot(x, law(ds), color="black", lw=1.3, ls="--", zorder=3, label=text)
    chance = over_worlds(ds).block_reappearance_chance
    mean = chance.mean([d for d in chance.dims if d != "n_steps"])
    ax.plot(x, mean, color=GREY, lw=1, ls="-.", label="random directions")
    ax.set_ylim(-0.03, 1.06)


def _legend(figure: Figure, ax: Axes) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
