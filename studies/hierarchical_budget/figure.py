"""One SAE for all budgets beside one SAE for each: reconstruction and stability over k."""

import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.plot.architectures import look
from synthsae.plot.common import (
    GREY,
    STYLE,
    error_bars,
    slices,
)
from synthsae.plot.phrases import extremes, number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

KEEP = ("arch", "k", "budget", "seed", "seed_a", "seed_b", "block", "angle")
LINES = {
    "each": ("TopK trained at each k", look("topk")[1], "o"),
    "cut": ("one TopK, cut", GREY, "^"),
    "hierarchical": ("one HierarchicalTopK, cut", look("hierarchical_topk")[1], "s"),
}
"""Name, colour and marker of a way to serve a budget."""
APART = {"each": -0.12, "cut": 0.0, "hierarchical": 0.12}
"""How far along the axis a way is drawn from its budget, so that equal scores are all seen."""


def by_way(ds: xr.Dataset) -> dict[str, xr.Dataset]:
    """The `budget_` variables [budget, ...] of each way of `LINES`, at the budgets trained at.

    `each` is the TopK trained with k = budget, the others are trained at the largest k and cut.
    """
    ds = ds.sortby("k")
    names = [str(n) for n in ds.data_vars if str(n).startswith("budget_")]
    at = [k for k in ds.k.values if k in ds.budget.values]
    scores = ds[names].sel(budget=at)
    each = [scores.sel(arch="topk", k=k, budget=k).drop_vars("k") for k in at]
    last = scores.isel(k=-1).drop_vars("k")
    return {
        "each": xr.concat(each, "budget", coords="minimal", compat="override"),
        "cut": last.sel(arch="topk"),
        "hierarchical": last.sel(arch="hierarchical_topk"),
    }


def scores_by_budget(ds: xr.Dataset) -> Figure:
    """Budget against EV, p_hat of isolated features and p_hat of block latents beside the law.

    Without a planted truth against EV and p_hat of live latents beside chance. Dimensions that
    the user made, other than arch and k, get a row of panels for each value.
    """
    panels = (_isolated, _blocks) if "budget_block_reappearance" in ds else (_live,)
    parts = list(slices(ds, KEEP))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 0.6 + 3.2 * len(parts)), layout="constrained")
        axes = figure.subplots(len(parts), 1 + len(panels), sharex=True, squeeze=False)
        for row, (label, part) in zip(axes, parts, strict=True):
            ways = by_way(part)
            ev = {way: interval_of(d.budget_explained_variance) for way, d in ways.items()}
            _panel(row[0], ways, ev)
            row[0].set_ylim(0, 1.06)
            row[0].set_ylabel("\n".join(filter(None, [label, "explained variance"])))
            row[0].set_title(_ev_title(ways))
            for ax, draw in zip(row[1:], panels, strict=True):
                draw(ax, ways)
        for ax in axes[-1]:
            ax.set_xlabel("budget: latents that may fire")
        lost = max(_lost(by_way(part))["hierarchical"] for _, part in parts)
        title = "One HierarchicalTopK for all budgets loses at most "
        title += f"{number(lost, '.3f')} of explained variance\nagainst a TopK trained at each k"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        handles, labels = axes[0, -1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _lost(ways: dict[str, xr.Dataset]) -> dict[str, float]:
    """The most EV that one SAE has less than the TopK trained at each budget."""
    ev = {way: ds.budget_explained_variance.mean("seed") for way, ds in ways.items()}
    return {way: float((ev["each"] - ev[way]).max().clip(0)) for way in ("hierarchical", "cut")}


def _ev_title(ways: dict[str, xr.Dataset]) -> str:
    """`_lost` of both in words."""
    lost = {way: number(value, ".3f") for way, value in _lost(ways).items()}
    return (
        "EV below TopK trained at each k: at most\n"
        f"{lost['hierarchical']} hierarchical, {lost['cut']} one TopK cut"
    )


def _isolated(ax: Axes, ways: dict[str, xr.Dataset]) -> None:
    _p_hat(ax, ways, "budget_isolated_reappearance", "p_hat of isolated features")


def _blocks(ax: Axes, ways: dict[str, xr.Dataset]) -> None:
    _p_hat(ax, ways, "budget_block_reappearance", "p_hat of block latents")
    _expected(ax, ways, "budget_coverage_prediction", "coverage law")


def _live(ax: Axes, ways: dict[str, xr.Dataset]) -> None:
    _p_hat(ax, ways, "budget_live_reappearance", "p_hat of live latents")
    _expected(ax, ways, "budget_live_reappearance_chance", "chance")


def _p_hat(ax: Axes, ways: dict[str, xr.Dataset], name: str, what: str) -> None:
    """A p_hat over the budget, and its range over budgets in the title."""
    scores = {way: interval_of(ds[name]) for way, ds in ways.items()}
    _panel(ax, ways, scores)
    each, cut, one = (_range(scores[way]) for way in ("each", "cut", "hierarchical"))
    same, apart = f":\n{each} in all three", f": TopK at each k\n{each}, hierarchical {one}"
    ax.set_title(what + (same if each == cut == one else apart))


def _range(score: Interval) -> str:
    """Least to largest estimate in percent, once where they are alike."""
    return extremes(score.estimate, ".0%")


def _expected(ax: Axes, ways: dict[str, xr.Dataset], name: str, label: str) -> None:
    """What a law gives over the budget, a dashed line a way."""
    for way, (_, colour, _) in LINES.items():
        law = ways[way][name]
        mean = law.mean([d for d in ("seed", "block") if d in law.dims])
        ax.plot(law.budget, mean, color=colour, lw=1, ls="--")
    ax.plot([], [], color="black", lw=1, ls="--", label=label)


def _panel(ax: Axes, ways: dict[str, xr.Dataset], scores: dict[str, Interval]) -> None:
    """A score over the budget, a line a way, side by side, with 95% intervals over seeds."""
    for way, (label, colour, marker) in LINES.items():
        ax.errorbar(
            ways[way].budget + APART[way],
            scores[way].estimate,
            error_bars(scores[way]),
            fmt=f"{marker}-",
            color=colour,
            ms=4,
            lw=1,
            capsize=2,
            label=label,
        )
    ax.set_xticks(ways["each"].budget)
    ax.set_ylim(-0.03, 1.06)  # chance is 0
    ax.yaxis.set_major_formatter(PercentFormatter(1))
