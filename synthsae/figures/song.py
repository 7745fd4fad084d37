"""Agreement between seeds beside agreement with the truth, over the samples seen."""

import json

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from synthsae.figures.common import BLUE, GREY, ORANGE, STYLE, error_bars, slices
from synthsae.figures.worlds import SEEDS, interval_over_worlds

SCORES = (
    ("feature_mcc", BLUE, "s", "MCC with the truth"),
    ("pairwise_mcc", ORANGE, "o", "PW-MCC between seeds"),
)


def agreement_by_samples(ds: xr.Dataset) -> Figure:
    """Left, both scores over the samples; right, one against the other, a point a world and budget.

    A row for every value of other dimensions; intervals are over worlds.
    """
    rows = list(slices(ds, keep=("n_steps", "world_seed", *SEEDS)))
    batch = json.loads(ds.attrs["config"])["base"]["train"]["batch_size"]
    with rc_context(STYLE):
        figure = Figure(figsize=(7.1, 3.3 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 2, squeeze=False)
        for (left, right), (label, part) in zip(axes, rows, strict=True):
            _over_samples(left, part, batch)
            _against(right, part)
            left.set_ylabel("\n".join(filter(None, [label, "mean matched cosine"])))
    return figure


def points(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """MCC with the truth and PW-MCC of every world and setting, flat."""
    x, y = (ds[name].mean([d for d in SEEDS if d in ds[name].dims]) for name, *_ in SCORES)
    x, y = xr.broadcast(x, y)
    return x.values.ravel(), y.values.ravel()


def rank_correlation(ds: xr.Dataset) -> float:
    """Spearman's correlation of the two scores over settings and worlds."""
    return float(spearmanr(*points(ds)).statistic)


def _over_samples(ax: Axes, ds: xr.Dataset, batch: int) -> None:
    x = ds.n_steps.values * batch
    for name, colour, marker, label in SCORES:
        values = ds[name].transpose("n_steps", ...)
        score = interval_over_worlds(values, own=name == "feature_mcc")
        ax.errorbar(
            x,
            score.estimate,
            error_bars(score),
            fmt=f"{marker}-",
            color=colour,
            ms=4.5,
            capsize=3,
            label=label,
        )
    chance = ds.pairwise_mcc_chance.mean("world_seed")
    ax.plot(x, chance, color=GREY, ls="-.", lw=1, label="chance (random directions)")
    ax.axvline(50_000, color=GREY, lw=0.8, ls=":")
    ax.text(48_000, 0.31, "Song et al.:\n50,000", fontsize=8, color=GREY, ha="right")
    ax.set_xscale("log")
    ax.set_xticks(x, [f"{n / 1000:.3g}k" for n in x])
    ax.minorticks_off()
    ax.set_ylim(0.3, 1.2)
    ax.set_xlabel("samples seen by each seed")
    ax.legend(loc="upper left")
    ends = ds.pairwise_mcc.mean([d for d in ds.pairwise_mcc.dims if d != "n_steps"]).values[[0, -1]]
    ax.set_title(f"PW-MCC {ends[0]:.2f} to {ends[1]:.2f}, chance {float(chance.mean()):.3f}")


def _against(ax: Axes, ds: xr.Dataset) -> None:
    """PW-MCC against MCC, beside equality and MCC^2.

    A latent c f + sqrt(1 - c^2) e has a pair cosine c^2 where errors e of two seeds are orthogonal.
    """
    x, y = points(ds)
    c = np.linspace(0.3, 1, 100)
    ax.plot(c, c, color=GREY, lw=1, label="equal")
    apart = np.maximum(c**2, float(ds.pairwise_mcc_chance.mean()))
    ax.plot(c, apart, color="black", lw=1, ls="--", label="independent errors: MCC² or chance")
    ax.plot(x, y, "o", color=ORANGE, ms=4.5, mfc="none")
    ax.set_xlim(0.3, 1.03)
    ax.set_ylim(0.3, 1.03)
    ax.set_xlabel("MCC with the truth")
    ax.set_ylabel("PW-MCC between seeds")
    ax.legend(loc="upper left")
    ax.set_title(f"rank correlation {rank_correlation(ds):.2f}")
