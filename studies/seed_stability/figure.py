"""The seed report: stability over dictionary sizes and layers, and what stable latents are."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from synthsae.plot.common import GREY, STYLE, error_bars, slices
from synthsae.plot.phrases import extremes
from synthsae.plot.words import excess
from synthsae.seeds.intervals import interval_of

COLOURS = ("black", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#999933")
"""Of layers and other settings: none of those that mean stable, unstable or a null."""
MARKERS = "osD^vP"
WITHIN = (
    *("seed", "seed_a", "seed_b", "found_in", "cosine", "r", "cluster", "label"),
    *("masked_class", "zeroed", "pair", "side", "top"),
)
"""Dimensions of one cell."""
KEEP = ("n_latents", *WITHIN)


def stability_and_rank(ds: xr.Dataset) -> Figure:
    """Left, p_hat over the latents of a dictionary; right, at the largest size, in how many
    dimensions latents of each class turn. A line for each layer and other setting.
    """
    parts = list(slices(ds.sortby("n_latents"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for i, (label, part) in enumerate(parts):
            look = dict(color=COLOURS[i % 6], marker=MARKERS[i % 6], lw=1.3, ms=5, capsize=3)
            p = interval_of(part.found_share.transpose("n_latents", ...))
            left.errorbar(part.n_latents, p.estimate, error_bars(p), label=label, **look)
            last = part.isel(n_latents=-1).class_latent_rank.transpose("label", "seed")
            rank = interval_of(last)
            right.errorbar(range(3), rank.estimate, error_bars(rank, np.inf, 1), **look)
        sizes, width = np.unique(ds.n_latents.values), ds.sizes["r"] - 1
        left.set_xscale("log")
        left.set_xticks(sizes, [str(v) for v in sizes])
        left.xaxis.set_minor_locator(NullLocator())
        left.set_xlabel("latents in the dictionary")
        left.set_ylim(0, 1)
        left.set_ylabel("p_hat: found in another seed")
        right.axhline(width, color=GREY, lw=1, ls="-.", label=f"all {width} dimensions")
        right.set_yscale("log", base=2)
        right.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        right.set_xticks(range(3), [str(v) for v in ds.label.values])
        right.set_xlim(-0.4, 2.4)
        right.set_ylabel("dimensions in which a median latent turns")
        right.set_title(f"with {sizes[-1]} latents")
        right.legend(loc="lower right")
        if parts[0][0]:
            left.legend()
        unstable = ds.isel(n_latents=-1).class_latent_rank.sel(label="unstable")
        told = _over(unstable, ".0f")
        title = f"Unstable latents turn in {told} of {width} dimensions that the seeds share"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def stability_by_size(ds: xr.Dataset) -> Figure:
    """Above, over the latents of a dictionary, a line for each layer and other setting; below, at
    the largest size, what the classes of p_hat are.
    """
    parts = list(slices(ds.sortby("n_latents"), KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(12.6, 6.4), layout="constrained")
        axes = figure.subplots(2, 4)
        for i, (label, part) in enumerate(parts):
            look = dict(color=COLOURS[i % 6], marker=MARKERS[i % 6])
            _over_sizes(axes[0], part, look, label)
            beside = 1.04 ** (i - (len(parts) - 1) / 2)
            _at_largest(axes[1], part.isel(n_latents=-1), look, beside)
        _dress(axes, ds.sortby("n_latents"), bool(parts[0][0]))
    return figure


def _over_sizes(row: np.ndarray, ds: xr.Dataset, look: dict, label: str) -> None:
    """p_hat, the median of matched cosines, their share at .9, and whether training is over."""
    x = ds.n_latents.values
    for ax, name in zip(row, ("found_share", "matched_median", "matched_share"), strict=False):
        i = interval_of(ds[name].transpose("n_latents", ...))
        ax.errorbar(x, i.estimate, error_bars(i), lw=1.3, ms=5, capsize=3, label=label, **look)
    every = ds.matched_median_all.mean(("seed_a", "seed_b"))
    row[1].plot(x, every, color=look["color"], lw=1, ls="--")
    row[1].plot(x, ds.matched_median_chance, color=GREY, lw=1, ls="-.")
    row[0].plot(x, ds.live_reappearance_chance.mean("seed"), color=GREY, lw=1, ls="-.")
    row[0].plot(x, ds.initial_reappearance.mean("seed"), "x", color=GREY, ms=5)
    i = interval_of(ds.explained_variance.transpose("n_latents", ...))
    row[3].errorbar(x, i.estimate, error_bars(i), lw=1.3, ms=5, capsize=3, **look)
    row[3].plot(x, 1 - ds.dead_fraction.mean("seed"), color=look["color"], lw=1, ls=":")
    if "loss_recovered" in ds:
        recovered = ds.loss_recovered.mean("seed")
        row[3].plot(x, recovered, color=look["color"], lw=1, ls="--")


def _at_largest(row: np.ndarray, ds: xr.Dataset, look: dict, beside: float) -> None:
    """The histogram of p_hat, transfer over its null, loss of masked latents, surface form."""
    counts = ds.reappearance_counts.sum("seed").values
    p = np.arange(len(counts)) / (len(counts) - 1)
    row[0].plot(p, counts / max(counts.sum(), 1), lw=1.3, ms=5, **look)
    gain = interval_of(ds.transfer_excess.transpose("r", "seed"))
    row[1].plot(ds.transfer_chance, gain.estimate, lw=1.5, color=look["color"])
    row[1].fill_between(ds.transfer_chance, gain.low, gain.high, color=look["color"], alpha=0.15)
    if "masked_loss" in ds:
        _masked(row[2], ds, look, beside)
    else:
        kinds = ("stable_rank", "unstable_rank")
        for at, kind in enumerate(kinds):
            ratio = interval_of(ds[kind] / ds.iid_rank)
            bars = error_bars(ratio, np.inf)[:, None]
            row[2].errorbar(at, ratio.estimate, bars, capsize=3, **look)
    name = "surface_form" if "surface_form" in ds else "firing_rate"
    mean = interval_of(ds[name].transpose("label", "seed"))
    row[3].errorbar(range(3), mean.estimate, error_bars(mean), lw=1.3, ms=5, capsize=3, **look)
    if name == "surface_form":
        row[3].plot(range(3), ds.surface_form_null.mean("seed"), color=GREY, lw=1, ls="-.")


def _masked(ax: Axes, ds: xr.Dataset, look: dict, beside: float) -> None:
    """What zeroing latents of a class costs, over what others that fire as often cost."""
    for kind, fill, line in (("stable", "full", "-"), ("unstable", "none", "--")):
        log = _log_ratio(ds, kind)
        middle, low, high = (np.exp(v) for v in interval_of(log))
        bars = np.nan_to_num([middle - low, high - middle])
        x = beside * log.zeroed
        ax.errorbar(x, middle, bars, fillstyle=fill, lw=1.2, ls=line, capsize=2, **look)


def _log_ratio(ds: xr.Dataset, kind: str) -> xr.DataArray:
    """Log of what zeroing a class costs over what zeroing others costs, [zeroed, ..., seed]."""
    part = ds.sel(masked_class=kind).isel(zeroed=slice(1, None)).transpose("zeroed", ..., "seed")
    ratio = part.masked_loss / part.matched_loss
    return np.log(ratio.where(ratio > 0))


def _dress(axes: np.ndarray, ds: xr.Dataset, named: bool) -> None:
    """Labels, scales, what is found, and what the lines without a marker are."""
    titles = (
        f"p_hat of live latents: {_over(ds.found_share)}\n(x step 0, -. chance)",
        f"median one-to-one cosine: {_over(ds.matched_median)}\n(-- dead ones too, -. random)",
        f"pairs with a cosine of .9\nor more: {_over(ds.matched_share)}",
        f"explained variance: {_over(ds.explained_variance)}\n"
        f"(: live latents{', -- loss recovered' * ('loss_recovered' in ds)})",
    )
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
        ax.set_xscale("log")
        ax.set_xticks(ds.n_latents.values, [str(v) for v in ds.n_latents.values])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("latents in the dictionary")
        ax.set_ylim(-0.03, 1.04)
    for ax in (axes[0, 0], axes[0, 2], axes[0, 3], axes[1, 0]):
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if named:
        axes[0, 0].legend()
    largest = ds.isel(n_latents=-1)
    _dress_classes(axes[1], largest)
    _dress_text(axes[1, 2], axes[1, 3], largest)


def _dress_classes(row: np.ndarray, ds: xr.Dataset) -> None:
    """The histogram of p_hat and the transfer of unstable latents."""
    row[0].set_title(
        f"{int(ds.n_latents)} latents: {_over(ds.unstable_share)} of live ones\n"
        f"never come back, {_over(ds.stable_share)} always"
    )
    row[0].set_xlabel("p_hat")
    row[0].set_ylabel("share of live latents")
    row[0].set_ylim(bottom=0)
    row[1].set_title(
        "what unstable latents share beyond as many\n"
        f"others: {_over(excess(ds), '+.2f')} of energy at D / 4"
    )
    row[1].set_xlabel("dimensions of the subspace / D")
    low, high = row[1].get_ylim()
    row[1].set_ylim(min(low, -0.05), max(high, 0.05))
    row[1].axhline(0, color=GREY, lw=1, ls="-.")
    row[1].axvline(0.25, color=GREY, lw=0.8, ls=":")


def _dress_text(left: Axes, right: Axes, ds: xr.Dataset) -> None:
    """The two panels that have more to show where the source is a language model."""
    classes = ("stable", "unstable")
    right.set_xticks(range(3), ["stable", "middle", "unstable"])
    right.set_xlim(-0.4, 2.4)
    right.set_ylim(bottom=0)
    if "masked_loss" not in ds:
        left.set_xticks(range(2), ["stable", "unstable"])
        left.set_xlim(-0.4, 1.4)
        ranks = [_over(ds[f"{c}_rank"] / ds.iid_rank, ".2f") for c in classes]
        left.set_title("effective rank over random: stable\n{}, unstable {}".format(*ranks))
        rates = [_over(ds.firing_rate.sel(label=c), ".1%") for c in classes]
        right.set_title("firing rate: stable {},\nunstable {}".format(*rates))
        return
    costs = [_over(xr.apply_ufunc(np.exp, _log_ratio(ds, c).mean("seed")), ".1f") for c in classes]
    left.set_title(
        "cross-entropy over others of like rates:\nstable ×{}, unstable ×{}".format(*costs)
    )
    left.axhline(1, color=GREY, lw=1, ls="-.")
    left.set_xscale("log", base=2)
    left.set_yscale("log", base=2)
    zeroed = ds.zeroed.values[1:]
    left.set_xticks(zeroed, [f"{v:.0%}" for v in zeroed])
    left.xaxis.set_minor_locator(NullLocator())
    left.yaxis.set_major_formatter(lambda y, _: f"{y:.2g}×")
    left.set_xlabel("share of the latents zeroed")
    left.plot([], [], "o-", color="black", label="stable")
    left.plot([], [], "o--", color="black", fillstyle="none", label="unstable")
    left.set_ylim(bottom=left.get_ylim()[0] / 2)  # room for the legend below the data
    left.legend(loc="lower right", ncols=2)
    form = [_over(ds.surface_form.sel(label=c), ".2f") for c in classes]
    right.set_title("mass on one token: stable {},\nunstable {} (-. permuted)".format(*form))


def _over(values: xr.DataArray, form: str = ".0%") -> str:
    """From the least to the largest mean over seeds, in words: "16% to 39%", or one number."""
    mean = values.mean([d for d in ("seed", "seed_a", "seed_b") if d in values.dims])
    return extremes(mean, form)
