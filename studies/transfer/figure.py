"""Where unstable latents live: transfer of their subspace, how many dimensions, what tells them."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.plot.phrases import number, span
from synthsae.seeds.intervals import interval_of

KEEP = ("seed", "r", "features")
PUBLISHED = (0.67, 0.73)
"""F1 from decoder directions on language models (Gerasimov et al. 2606.12138)."""
FEW = 5
"""Latents of a class in the mean seed below which no score of the class is drawn."""
RANKS = {
    "unstable": ("unstable_rank", ORANGE, "s"),
    "i.i.d. in blocks": ("iid_rank_in_blocks", "black", "D"),
    "stable": ("stable_rank", BLUE, "o"),
    "i.i.d.": ("iid_rank", GREY, "s"),
}


def worlds(ds: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """The Dataset at every setting, with its name; dimensions of one value are not named."""
    return list(
        slices(ds.squeeze([d for d in ds.dims if ds.sizes[d] == 1 and d not in KEEP]), KEEP)
    )


def reach(ds: xr.Dataset, share: float = 0.9) -> int:
    """The least r at which the mean transfer is `share` of what it ends at."""
    curve = ds.transfer.mean("seed").values
    return int(np.argmax(curve >= share * curve[-1]))


def home_of_unstable(ds: xr.Dataset) -> Figure:
    """The last world with enough unstable latents: transfer over r, and F1 of the labels."""
    parts = worlds(ds)
    enough = [part for part in parts if not too_few(part[1])]
    name, part = (enough or parts)[-1]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        curve, labels = figure.subplots(1, 2)
        _null(curve, part, name)
        curve.set_ylabel("energy of other seeds' unstable latents")
        if not enough:
            _say_too_few((curve, labels), part)
            return figure
        _curve(curve, part, name)
        _labels(labels, part)
        labels.set_title("can the label be predicted in a seed\nthat the fit has not seen?")
        at, ends = reach(part), part.isel(r=-1).r.item()
        held = number(part.transfer.sel(r=at).mean(), ".0%")
        title = "Unstable latents share a subspace: "
        title += f"{held} of their energy in {at} of {ends} dimensions"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        handles = [ax.get_legend_handles_labels() for ax in (curve, labels)]
        lines, texts = (first + second for first, second in zip(*handles, strict=True))
        figure.legend(lines, texts, loc="outside lower center", ncols=3)
    return figure


def transfer_of_unstable(ds: xr.Dataset) -> Figure:
    """A column a world: transfer over r (above), effective ranks (middle), F1 of labels (below).

    Where fewer than `FEW` latents of a seed are unstable, or stable, no score is drawn.
    """
    parts = worlds(ds)
    with rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 3 * len(parts), 7.4), layout="constrained")
        rows = figure.subplots(3, len(parts), squeeze=False, sharey="row", height_ratios=(6, 2, 3))
        for (curve, ranks, labels), (name, part) in zip(rows.T, parts, strict=True):
            _null(curve, part, name)
            if too_few(part):
                _say_too_few((curve, ranks, labels), part)
                continue
            _curve(curve, part, name)
            _ranks(ranks, part)
            _labels(labels, part)
        rows[0, 0].set_ylabel("energy of other seeds' unstable latents")
        handles, texts = rows[0, -1].get_legend_handles_labels()
        more = rows[2, -1].get_legend_handles_labels()
        figure.legend(handles + more[0], texts + more[1], loc="outside lower center", ncols=3)
    return figure


def too_few(ds: xr.Dataset) -> bool:
    """Whether the smaller class has fewer than `FEW` latents in the mean seed."""
    return float(ds.rank_rows.mean()) < FEW


def _say_too_few(axes: tuple[Axes, ...], ds: xr.Dataset) -> None:
    """An empty column says why it is."""
    counts = ds.unstable_share * ds.live_latents
    for ax in axes[1:]:
        ax.xaxis.set_visible(False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    least, most = float(counts.min()), float(counts.max())
    said = span([least, most], ".0f")
    verb = "latent of a seed\nis" if said == "1" else "latents of a seed\nare"
    told = f"{said} {verb} unstable: too few for a score"
    axes[1].text(0.5, 0.5, told, ha="center", va="center", transform=axes[1].transAxes)


def _null(ax: Axes, ds: xr.Dataset, name: str) -> None:
    """What random subspaces hold."""
    low, high = ds.transfer_random_low.min("seed"), ds.transfer_random_high.max("seed")
    text = "random subspaces, 95%"
    ax.fill_between(ds.r, low, high, color=GREY, alpha=0.35, lw=0, label=text)
    ax.plot(ds.r, ds.transfer_chance, color=GREY, lw=0.8, label="r / D")
    ax.set_ylim(0, 1.04)
    ax.set_xlabel("dimensions r of the subspace")
    ax.set_title(name)


def _curve(ax: Axes, ds: xr.Dataset, name: str) -> None:
    """Transfer over r, that of stable latents and the prediction."""
    r = ds.r.values
    curves = {"unstable": ("transfer", ORANGE, "-"), "stable": ("transfer_stable", BLUE, "--")}
    for what, (variable, colour, line) in curves.items():
        score = interval_of(ds[variable].transpose("r", "seed"))
        text = f"top r dimensions of {what} latents"
        ax.plot(r, score.estimate, line, color=colour, lw=1.6, label=text)
        ax.fill_between(r, score.low, score.high, color=colour, alpha=0.2, lw=0)
    predicted = ds.get("transfer_predicted", ds.transfer_chance * np.nan)
    text = "predicted: all in the blocks, evenly"
    ax.plot(r, predicted, ":", color="black", lw=1.5, label=text)
    at = reach(ds)
    held = (ds[v].sel(r=at).mean() for v in ("transfer", "transfer_stable"))
    got, null = (number(v, ".0%") for v in held)
    told = f"{at} dimensions hold {got}\n(as many stable latents: {null})"
    ax.set_title("\n".join(filter(None, [name, told])))


def _ranks(ax: Axes, ds: xr.Dataset) -> None:
    """Effective rank over D of as many unstable as stable latents, and of i.i.d. ones."""
    for y, (variable, colour, marker) in enumerate(RANKS.values()):
        if variable in ds:
            _dot(ax, y, ds[variable], colour, marker)
    ax.set_yticks(range(len(RANKS)), list(RANKS))
    ax.set_ylim(len(RANKS) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"effective rank / D of {number(ds.rank_rows.mean(), '.0f')} latents")


def _labels(ax: Axes, ds: xr.Dataset) -> None:
    """F1 of each set of features beside permuted labels and a constant answer."""
    names = [str(v) for v in ds.features.values]
    for y, name in enumerate(names):
        _dot(ax, y, ds.label_f1.sel(features=name), "black", "o", "learned on the other seeds")
        permuted = ds.label_f1_permuted.sel(features=name).mean()
        ax.plot(permuted, y, "x", color=GREY, ms=5, label="on permuted labels" if not y else None)
    ax.axvline(ds.label_f1_constant.mean(), color=GREY, ls="--", lw=1, label="calling all unstable")
    text = "published, on language models"
    ax.fill_betweenx([-0.4, 0.4], *PUBLISHED, color=GREEN, alpha=0.3, lw=0, label=text)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1.03)
    ax.set_xlabel('F1 of the label "unstable", predicted from')


def _dot(
    ax: Axes, y: float, values: xr.DataArray, colour: str, marker: str, label: str = ""
) -> None:
    """Mean over seeds with its interval; the first of its kind is named."""
    score = interval_of(values)
    bars = np.reshape(error_bars(score), (2, 1))
    text = label if label and not y else None
    ax.errorbar(score.estimate, y, xerr=bars, fmt=marker, color=colour, ms=5, capsize=2, label=text)
