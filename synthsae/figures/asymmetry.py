"""What latents cost, over how often they fire, by how stable they are."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthsae.figures.common import BLUE, GREY, ORANGE, STYLE, interval_over_seeds, slices
from synthsae.stats import Interval

KEEP = ("seed", "latent", "label", "masked")
LOOK = {"stable": (BLUE, "o"), "unstable": (ORANGE, "^"), "middle": ("#BBBBBB", ".")}
"""Colour and marker of a class."""
SHOWN = 2000
"""Latents drawn at most, so that the file stays small."""


def ratio(values: xr.DataArray) -> Interval:
    """Stable over unstable, of a mean by class [seed, label]; the interval is of the logarithm."""
    log = np.log(values.sel(label="stable", drop=True) / values.sel(label="unstable", drop=True))
    return Interval(*(np.exp(v) for v in interval_over_seeds(log)))


def worlds(ds: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """The Dataset at every setting, with its name; dimensions of one value are not named."""
    return list(slices(ds.squeeze([d for d in ds.dims if ds.sizes[d] == 1 and d not in KEEP]), KEEP))


def common_count(ds: xr.Dataset) -> int:
    """The most latents that can be zeroed of both classes and of their matched ones, all seeds."""
    curves = [ds[name].sel(label=["stable", "unstable"]) for name in ("masked_cost", "matched_cost")]
    known = np.all([c.notnull().all(("seed", "label")) for c in curves], axis=0)
    return int(np.flatnonzero(known)[-1])


def cost_by_stability(ds: xr.Dataset) -> Figure:
    """A column a world: single costs (above), joint ones (middle), what explains them (below)."""
    parts = worlds(ds)
    with rc_context(STYLE):
        figure = Figure(figsize=(0.7 + 3.1 * len(parts), 7.2), layout="constrained")
        rows = figure.subplots(3, len(parts), squeeze=False, height_ratios=(6, 5, 1.4))
        for (single, joint, explained), (name, part) in zip(rows.T, parts, strict=True):
            _single(single, part, name)
            _joint(joint, part)
            _explained(explained, part)
        rows[0, 0].set_ylabel("EV lost when one latent is zeroed")
        rows[1, 0].set_ylabel("EV lost, with 95% interval over seeds")
        for above in rows[:2]:
            handles, labels = above[0].get_legend_handles_labels()
            above[-1].legend(handles, labels, loc="lower right" if above is rows[0] else "best")
    return figure


def _single(ax: Axes, ds: xr.Dataset, name: str) -> None:
    """Rate against cost of every latent, and the ideal code with its lines of equal magnitude."""
    p, seeds = ds.latent_reappearance, max(1, SHOWN // ds.sizes["latent"])
    chosen = {"middle": (p > 0.05) & (p < 0.95), "stable": p >= 0.95, "unstable": p <= 0.05}
    for label, here in chosen.items():
        colour, marker = LOOK[label]
        points = [v.where(here).isel(seed=slice(seeds)) for v in (ds.latent_rate, ds.latent_cost)]
        ax.plot(*map(np.ravel, points), marker, color=colour, ms=3, alpha=0.6, mew=0, label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    if "ideal_rate_block" in ds:
        for kind, marker, line in (("isolated", "*", "--"), ("block", "D", ":")):
            x, y = float(ds[f"ideal_rate_{kind}"]), float(ds[f"ideal_cost_{kind}"])
            ax.plot(x, y, marker, mfc="white", mec="black", ms=9, label=f"predicted mean: {kind}")
            ax.axline((x, y), (10 * x, 10 * y), color="black", lw=0.8, ls=line)
    ax.set_xlabel("firing rate")
    rate, cost, equal = ratio(ds.class_rate), ratio(ds.class_cost), interval_over_seeds(ds.cost_ratio)
    lines = [
        f"stable latents fire {rate.estimate:.2g}x as often and cost {cost.estimate:.2g}x",
        f"at equal rate they cost {equal.estimate:.2g}x [{equal.low:.2g}, {equal.high:.2g}]",
    ]
    ax.set_title("\n".join([name, *lines] if name else lines))


def _joint(ax: Axes, ds: xr.Dataset) -> None:
    """EV lost over the number of latents zeroed: a class, its sum of single costs, its match."""
    most = common_count(ds)
    part = ds.sel(masked=slice(0, most))
    n = part.masked.values
    for label in ("stable", "unstable"):
        colour, _ = LOOK[label]
        at = part.sel(label=label)
        joint = interval_over_seeds(at.masked_cost.transpose("masked", "seed"))
        ax.plot(n, joint.estimate, color=colour, lw=1.8, label=label)
        ax.fill_between(n, joint.low, joint.high, color=colour, alpha=0.2, lw=0)
        matched = at.matched_cost.mean("seed")
        ax.plot(n, matched, "--", color=colour, lw=1.3, label=f"others at the rates of {label}")
        ax.plot(n, at.summed_cost.mean("seed"), ":", color="black", lw=1.1)
    ax.plot([], [], ":", color="black", lw=1.1, label="predicted: sum of single costs")
    ax.set_xlabel("latents zeroed")
    end = part.isel(masked=-1).mean("seed")
    told = [f"{float(end.masked_cost.sel(label=c)):.2g} {c}" for c in ("stable", "unstable")]
    ax.set_title(f"EV lost with {most} latents: {', '.join(told)}")


def _explained(ax: Axes, ds: xr.Dataset) -> None:
    """Shares of the variance of log cost: rate alone, either, p_hat alone, neither."""
    rate, p, all_ = (float(ds[v].mean("seed")) for v in ("rate_unique", "p_hat_unique", "cost_r2"))
    shares = {"rate alone": rate, "either": all_ - rate - p, "p_hat alone": p, "neither": 1 - all_}
    at, colours = 0.0, (GREY, "#C9D7E3", BLUE, "white")
    for (text, share), colour in zip(shares.items(), colours, strict=True):
        ax.barh(0, share, left=at, color=colour, edgecolor="black", lw=0.6)
        if abs(share) > 0.02:
            y = 0.62 if abs(share) > 0.16 else -0.95
            ax.text(at + share / 2, y, f"{text}\n{share:.2f}", ha="center", fontsize=7)
        at += share
    ax.set_ylim(-1.1, 1.6)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("variance of log cost that is explained by")
