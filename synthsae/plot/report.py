"""The stability report, a figure for any SAEs of several seeds: it needs no planted truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, defined, error_bars, in_text, slices
from synthsae.plot.phrases import COSINE, count, number
from synthsae.plot.phrases import interval as interval_in_words
from synthsae.plot.words import FEW, excess
from synthsae.seeds.intervals import interval_of

KEEP = (*("seed", "seed_a", "seed_b", "found_in", "cosine", "r", "cluster", "latent", "label"),)


def stability_report(ds: xr.Dataset) -> Figure:
    """A figure with one row per setting of `ds`.

    The panels of a row are p_hat, matched cosines, transfer of unstable latents, effective rank
    and, if `ds` has them, firing rates.
    """
    panels = [found_in_others, matched_cosines, transfer, effective_rank]
    panels += [firing_rates] * ("firing_rate" in ds)
    rows = list(settings(ds))
    with rc_context(STYLE):
        size = (0.4 + 3.2 * len(panels), 0.3 + 3 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(rows), len(panels), squeeze=False)
        for row, (label, part) in zip(axes, rows, strict=True):
            for ax, panel in zip(row, panels, strict=True):
                panel(ax, part)
            if label:
                row[0].set_ylabel(f"{label}\n\n{row[0].get_ylabel()}")
    return figure


def settings(ds: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """`slices`, with the last part of a model's name, or `planted world`, in the label."""
    for label, part in slices(ds, KEEP):
        model = str(part.coords["model"].values) if "model" in part.coords else None
        if model is not None:
            short = Path(model).name if model else "planted world"
            label = label.replace(f"model = {model}", short)
        yield label, part


def found_in_others(ax: Axes, ds: xr.Dataset) -> None:
    """Histogram of p_hat; colours are those of stable and unstable latents."""
    counts = ds.reappearance_counts.sum("seed").sel(found_in=ds.found_in < ds.sizes["seed"])
    share = counts / max(float(counts.sum()), 1.0)
    p = ds.found_in.values[: len(share)] / (len(share) - 1)
    high, low = defined(ds, "stable"), defined(ds, "unstable")
    colours = np.select([p >= high, p <= low], [BLUE, ORANGE], GREY)
    ax.bar(p, share, width=0.8 / (len(share) - 1), color=colours)
    stable, unstable = (number(v.mean(), ".0%") for v in (ds.stable_share, ds.unstable_share))
    ax.set_title(f"{stable} of live latents come back always,\n{unstable} never")
    ax.set_xlabel("p_hat: share of the other SAEs it is found in")
    ax.set_ylabel("share of live latents")
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def matched_cosines(ax: Axes, ds: xr.Dataset) -> None:
    """Histograms of one-to-one cosines, of the latents and of random directions."""
    ax.set_xlabel("one-to-one cosine of live latents")
    if "matched_histogram" not in ds:
        ax.text(0.5, 0.5, "too large to match", ha="center", transform=ax.transAxes)
        return
    x, step = ds.cosine.values, float(ds.cosine[1] - ds.cosine[0])
    ax.bar(x, ds.matched_histogram, width=step, color=BLUE, alpha=0.7, label="matched latents")
    ax.step(x, ds.matched_histogram_chance, where="mid", color=GREY, lw=1.2, label="random")
    top = float(max(ds.matched_histogram.max(), ds.matched_histogram_chance.max()))
    if not top > 0:
        ax.set_title("no pairs of live latents")
        return
    ax.set_ylim(0, 1.4 * top)  # room for the legend
    ax.axvline(defined(ds, "same"), color=GREY, lw=0.8, ls=":")
    shown = ds.matched_histogram.values + ds.matched_histogram_chance.values > 0
    ax.set_xlim(min(0.0, x[shown].min()) - step, 1 + step)
    ax.set_ylabel("share of pairs")
    median, share = float(ds.matched_median.mean()), float(ds.matched_share.mean())
    ax.set_title(
        f"median {number(median)} (chance {number(ds.matched_median_chance)}),\n"
        f"{number(share, '.0%')} of the pairs at {in_text(ds, 'same')} or more"
    )
    ax.legend(loc="upper left")


def transfer(ax: Axes, ds: xr.Dataset) -> None:
    """Energy of other seeds' unstable latents in the top r directions of one seed's, with nulls."""
    x = ds.transfer_chance  # r / D
    low, high = ds.transfer_random_low.min("seed"), ds.transfer_random_high.max("seed")
    ax.fill_between(x, low, high, color=GREY, alpha=0.3, lw=0)
    ax.plot(x, x, color=GREY, lw=1, ls=":", label="random subspaces, 95%")
    other, stable = ds.transfer_other.mean("seed"), ds.transfer_stable.mean("seed")
    ax.plot(x, other, color="black", lw=1, ls="--", label="latents that are not unstable")
    if stable.notnull().any():
        rows = float(ds.rank_rows.mean())  # as many as unstable ones, or all there are
        ax.plot(x, stable, color=BLUE, lw=1.2, label=count(rows, "stable latent"))
    same = (ds.transfer_other + ds.transfer_excess).mean("seed")
    ax.plot(x, same, color=ORANGE, lw=1, ls="--", label="as many unstable latents")
    curve = interval_of(ds.transfer.transpose("r", "seed"))
    ax.plot(x, curve.estimate, color=ORANGE, lw=2, label="all unstable latents")
    ax.fill_between(x, curve.low, curve.high, color=ORANGE, alpha=0.2, lw=0)
    gain = interval_of(excess(ds))
    if np.isfinite(gain.estimate):
        more = interval_in_words(gain, within=COSINE)
        ax.set_title(f"unstable latents, at D / 4: {more}\nof energy more than as many others")
    else:
        ax.set_title("no unstable latents in two SAEs")
    ax.set_xlabel("dimensions r of one SAE's subspace / D")
    ax.set_ylabel("energy of the others' unstable latents")
    ax.set_ylim(0, 1.7)  # room for the legend
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(loc="upper left")


def effective_rank(ax: Axes, ds: xr.Dataset) -> None:
    """Effective ranks of equally many stable and unstable latents, relative to random ones."""
    kinds, rows = (("stable", BLUE, "o"), ("unstable", ORANGE, "s")), float(ds.rank_rows.mean())
    if not rows >= FEW:
        ax.set_axis_off()
        text = f"{count(rows, 'row')} an SAE: too few\nfor an effective rank"
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
        return
    for i, (kind, colour, marker) in enumerate(kinds):
        ratio = ds[f"{kind}_rank"] / ds.iid_rank
        jitter = i + np.linspace(-0.15, 0.15, ratio.sizes["seed"])
        ax.plot(jitter, ratio, marker, color=colour, ms=4, mfc="none")
        mean = interval_of(ratio)
        bars = np.reshape(np.subtract(mean.high, mean.estimate), 1)
        ax.errorbar(i, mean.estimate, bars, fmt=marker, color=colour, capsize=3)
    ax.axhline(1, color=GREY, lw=1, ls=":")
    ax.set_xticks([0, 1], [k for k, *_ in kinds])
    ax.set_xlim(-0.6, 1.6)
    ax.set_ylabel("effective rank / random one")
    a, b = (number((ds[f"{k}_rank"] / ds.iid_rank).mean()) for k, *_ in kinds)
    ax.set_title(f"effective rank at {rows:.0f} rows:\nstable {a}, unstable {b} of random")


def firing_rates(ax: Axes, ds: xr.Dataset) -> None:
    """Firing rates of stable, middle and unstable latents."""
    rate = interval_of(ds.firing_rate.transpose("label", "seed"))
    look = zip((BLUE, GREY, ORANGE), rate.estimate, error_bars(rate).T, strict=True)
    for i, (colour, mean, bars) in enumerate(look):
        ax.errorbar(i, mean, bars[:, None], fmt="o", color=colour, capsize=3)
    ax.set_xticks(range(3), ds.label.values)
    ax.set_xlim(-0.5, 2.5)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylabel("share of samples on which it fires")
    stable, _, unstable = rate.estimate
    times = stable / unstable if unstable > 0 else np.nan
    ax.set_title(f"stable latents fire {number(times, '.1f')} times\nas often as unstable")
