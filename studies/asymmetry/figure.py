"""What latents cost, over how often they fire, by how stable they are."""

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE, defined, error_bars, slices
from synthsae.plot.phrases import count, interval, number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

KEEP = ("seed", "latent", "label", "masked", "masked_class", "zeroed")
LOOK = {"stable": (BLUE, "o"), "unstable": (ORANGE, "^"), "middle": (GREY, "x")}
"""Colour and marker of a class."""
RATIO = (0.0, np.inf)
"""Range of a ratio of costs or rates."""
SHOWN = 2000
"""Latents drawn at most, so that the file stays small."""


def ratio(values: xr.DataArray) -> Interval:
    """Stable over unstable, of a mean by class [seed, label]; its interval is that of the log."""
    stable, unstable = (values.sel(label=c, drop=True) for c in ("stable", "unstable"))
    over = stable / unstable.where(unstable > 0)
    log = xr.apply_ufunc(np.log, over.where(over > 0))
    return Interval(*(np.exp(v) for v in interval_of(log)))


def measured(ds: xr.Dataset) -> dict[str, Interval]:
    """Stable over unstable latents: their mean rate, mean cost, and the ratio of these."""
    per_firing = ds.class_cost / ds.class_rate.where(ds.class_rate > 0)
    return {
        "rate": ratio(ds.class_rate),
        "cost": ratio(ds.class_cost),
        "cost per firing": ratio(per_firing),
    }


def at_equal_rate(ds: xr.Dataset) -> Interval:
    """Cost of a latent with p_hat 1 over that of one with p_hat 0 and the same firing rate."""
    return Interval(*(np.exp(v) for v in interval_of(ds.p_hat_slope)))


def explained(ds: xr.Dataset) -> dict[str, Interval]:
    """Shares of the variance of log cost that rate and p_hat explain.

    Both together, either in a fit by itself, and what it adds to the other: that is more where the
    other hides it.
    """
    both, rate, p_hat = (ds[name] for name in ("cost_r2", "rate_unique", "p_hat_unique"))
    shares = {
        "both": both,
        "rate by itself": both - p_hat,
        "rate adds to p_hat": rate,
        "p_hat by itself": both - rate,
        "p_hat adds to rate": p_hat,
    }
    return {name: interval_of(share) for name, share in shares.items()}


def predicted(ds: xr.Dataset) -> dict[str, float]:
    """The `measured` ratios in the ideal code, of isolated features to block latents."""
    if "ideal_rate_block" not in ds:
        return {}
    isolated, block = (
        np.array([float(ds[f"ideal_{v}_{kind}"]) for v in ("rate", "cost")])
        for kind in ("isolated", "block")
    )
    rate, cost = np.divide(isolated, block, out=np.full(2, np.nan), where=block > 0)
    per_firing = cost / rate if rate > 0 else np.nan
    return {"rate": float(rate), "cost": float(cost), "cost per firing": float(per_firing)}


def worlds(ds: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """The Dataset at every setting, with its name; dimensions of one value are not named."""
    return list(
        slices(ds.squeeze([d for d in ds.dims if ds.sizes[d] == 1 and d not in KEEP]), KEEP)
    )


def common_count(ds: xr.Dataset) -> int:
    """The most latents that can be zeroed of both classes and of their matched ones, all seeds.

    0 where there are none.
    """
    curves = [
        ds[name].sel(label=["stable", "unstable"]) for name in ("masked_cost", "matched_cost")
    ]
    known = np.all([c.notnull().all(("seed", "label")) for c in curves], axis=0)
    return int(np.flatnonzero(known).max(initial=0))


def cost_by_stability(ds: xr.Dataset) -> Figure:
    """A column a source: single costs (above), joint ones, and what explains them (below).

    Where the source is a language model there is one more row, of its cross-entropy.
    """
    parts = worlds(ds)
    heights = (6, 5, 3, 5) if "masked_loss" in ds else (6, 5, 3)
    with rc_context(STYLE):
        size = (0.6 + 3.4 * len(parts), 1.8 + 0.45 * sum(heights))
        figure = Figure(figsize=size, layout="constrained")
        rows = figure.subplots(
            len(heights), len(parts), squeeze=False, sharey="row", height_ratios=heights
        )
        for (single, joint, explained, *text), (name, part) in zip(rows.T, parts, strict=True):
            _single(single, part, name)
            _joint(joint, part)
            _explained(explained, part)
            for ax in text:
                _spliced(ax, part)
        rows[0, 0].set_ylabel("EV lost when one latent is zeroed")
        rows[1, 0].set_ylabel("EV lost, 95% interval over seeds")
        if "masked_loss" in ds:
            rows[3, 0].set_ylabel("rise of cross-entropy, nats")
        handles, labels = rows[0, 0].get_legend_handles_labels()
        more = rows[1, 0].get_legend_handles_labels()
        figure.legend(handles + more[0], labels + more[1], loc="outside lower center", ncols=3)
    return figure


def _single(ax: Axes, ds: xr.Dataset, name: str) -> None:
    """Rate against cost of every latent, and the ideal code with its lines of equal magnitude."""
    p, seeds = ds.latent_reappearance, max(1, SHOWN // ds.sizes["latent"])
    high, low = defined(ds, "stable"), defined(ds, "unstable")
    chosen = {"stable": p >= high, "unstable": p <= low, "middle": (p > low) & (p < high)}
    for label, here in chosen.items():
        colour, marker = LOOK[label]
        points = [v.where(here).isel(seed=slice(seeds)) for v in (ds.latent_rate, ds.latent_cost)]
        edge, alpha = (0.6, 0.5) if marker == "x" else (0, 0.6)
        text = f"{label} latents"
        ax.plot(
            *map(np.ravel, points), marker, color=colour, ms=3, mew=edge, alpha=alpha, label=text
        )
    if bool(((ds.latent_rate > 0) & (ds.latent_cost > 0)).any()):
        ax.set_xscale("log")
        ax.set_yscale("log")
    ax.xaxis.set_minor_formatter(NullFormatter())  # within a decade they would overlap
    if "ideal_rate_block" in ds:
        for kind, marker, line in (("isolated", "*", "--"), ("block", "D", ":")):
            x, y = float(ds[f"ideal_rate_{kind}"]), float(ds[f"ideal_cost_{kind}"])
            ax.plot(x, y, marker, mfc="white", mec="black", ms=9, label=f"predicted mean, {kind}")
            if x > 0 and y > 0:
                ax.axline((x, y), (10 * x, 10 * y), color="black", lw=0.8, ls=line)
    ax.set_xlabel("firing rate")
    said = predicted(ds)
    lines = [
        f"{what} ×{_times(score)}" + (_beside(score, said[what]) if said else "")
        for what, score in measured(ds).items()
    ]
    head = f"{name}: stable / unstable" if name else "stable / unstable"
    ax.set_title("\n".join([head, *lines]), fontsize=8)


def _times(score: Interval) -> str:
    return interval(score, ".2g", RATIO)


def _beside(score: Interval, value: float) -> str:
    """A prediction, and whether the interval of the measurement misses it."""
    missed = value < score.low or value > score.high
    return f", predicted {number(value, '.2g')}{' (missed)' if missed else ''}"


def _joint(ax: Axes, ds: xr.Dataset) -> None:
    """EV lost over the number of latents zeroed: a class, its sum of single costs, its match."""
    most = common_count(ds)
    part = ds.sel(masked=slice(0, most))
    n = part.masked.values
    for label in ("stable", "unstable"):
        colour, _ = LOOK[label]
        at = part.sel(label=label)
        joint = interval_of(at.masked_cost.transpose("masked", "seed"))
        ax.plot(n, joint.estimate, color=colour, lw=1.8, label=f"{label}, zeroed jointly")
        ax.fill_between(n, joint.low, joint.high, color=colour, alpha=0.2, lw=0)
        matched = at.matched_cost.mean("seed")
        ax.plot(n, matched, "--", color=colour, lw=1.3, label=f"others at the rates of {label}")
        ax.plot(n, at.summed_cost.mean("seed"), ":", color="black", lw=1.1)
    ax.plot([], [], ":", color="black", lw=1.1, label="sum of measured single costs")
    ax.set_xlabel("latents zeroed")
    end = part.isel(masked=-1).mean("seed")
    told = [f"{number(end.masked_cost.sel(label=c), '.2g')} {c}" for c in ("stable", "unstable")]
    ax.set_title(f"{count(most, 'latent')}: {', '.join(told)}" if most else "too few to zero")


def _spliced(ax: Axes, ds: xr.Dataset) -> None:
    """Rise of cross-entropy over the latents zeroed: classes, and others at their rates."""
    for label in ds.masked_class.values:
        colour, _ = LOOK[label]
        own, others = (
            interval_of(ds[name].sel(masked_class=label).transpose("zeroed", "seed"))
            for name in ("masked_loss", "matched_loss")
        )
        ax.plot(ds.zeroed, own.estimate, "o-", color=colour, lw=1.8, ms=3)
        ax.fill_between(ds.zeroed, own.low, own.high, color=colour, alpha=0.2, lw=0)
        ax.plot(ds.zeroed, others.estimate, "--", color=colour, lw=1.3)
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.set_xlabel("share of all latents zeroed")
    recovered = number(ds.loss_recovered.mean(), ".1%")
    ax.set_title(f"spliced in whole: {recovered} of the loss recovered")


def spliced(ds: xr.Dataset) -> dict[str, float]:
    """By how many nats cross-entropy rises with latents zeroed: of either class, and others.

    Others fire as often. Empty where there is no model.
    """
    found = {}
    for label in ds.masked_class.values if "masked_loss" in ds else ():
        both = ds.sel(masked_class=label)[["masked_loss", "matched_loss"]]
        known = both.dropna("zeroed", subset=[*both])
        if known.sizes["zeroed"]:
            part = known.isel(zeroed=-1)
            found[f"nats, {label} zeroed"] = part.masked_loss.mean().item()
            found[f"nats, others zeroed for {label}"] = part.matched_loss.mean().item()
            found[f"share zeroed of {label}"] = float(part.zeroed)
    return found


def _explained(ax: Axes, ds: xr.Dataset) -> None:
    """What `explained` says, a bar each."""
    shares = explained(ds)
    for y, (score, colour) in enumerate(
        zip(shares.values(), (GREY, "black", "black", BLUE, BLUE), strict=True)
    ):
        bars = np.reshape(error_bars(score), (2, 1))
        ax.barh(y, score.estimate, color=colour, alpha=0.6 if y % 2 == 0 else 0.3, height=0.6)
        ax.errorbar(score.estimate, y, xerr=bars, color="black", capsize=2, lw=1)
        ax.text(1.12, y, number(score.estimate), va="center", ha="right", fontsize=8)
    ax.set_yticks(range(len(shares)), list(shares))
    ax.set_xlim(0, 1.13)
    ax.set_ylim(4.6, -0.6)
    ax.set_xlabel("variance of log cost explained")
