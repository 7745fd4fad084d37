"""One SAE for all budgets beside one SAE for each: reconstruction and stability over k."""

import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synthsae.figures.common import (
    BLUE,
    GREY,
    ORANGE,
    STYLE,
    error_bars,
    interval_of_each,
    interval_over_seeds,
    slices,
)

KEEP = ("arch", "k", "budget", "seed", "seed_a", "seed_b", "block", "angle")
LINES = {
    "each": ("TopK trained at each k", BLUE, "o"),
    "cut": ("one TopK, cut", GREY, "^"),
    "hierarchical": ("one HierarchicalTopK, cut", ORANGE, "s"),
}
"""Name, colour and marker of a way to serve a budget."""


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
        "each": xr.concat(each, "budget"),
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
        size = (2.8 + 3.2 * len(panels), 3.2 * len(parts))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(parts), 1 + len(panels), sharex=True, squeeze=False)
        for row, (label, part) in zip(axes, parts, strict=True):
            ways = by_way(part)
            _panel(row[0], ways, "budget_explained_variance")
            row[0].set_ylabel("\n".join(filter(None, [label, "share"])))
            row[0].set_title(_ev_title(ways))
            for ax, draw in zip(row[1:], panels, strict=True):
                draw(ax, ways)
        for ax in axes[-1]:
            ax.set_xlabel("budget: latents that may fire")
        handles, labels = axes[0, -1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _ev_title(ways: dict[str, xr.Dataset]) -> str:
    """EV at the least budget, of the three ways."""
    least = {
        way: float(ds.budget_explained_variance.isel(budget=0).mean()) for way, ds in ways.items()
    }
    first = int(ways["each"].budget.values[0])
    return (
        f"explained variance; at {first}: {least['each']:.2f} trained for it,\n"
        f"{least['hierarchical']:.2f} hierarchical, {least['cut']:.2f} cut"
    )


def _isolated(ax: Axes, ways: dict[str, xr.Dataset]) -> None:
    _panel(ax, ways, "budget_isolated_reappearance")
    ax.set_title("p_hat of isolated features\n(0 where not found)")


def _blocks(ax: Axes, ways: dict[str, xr.Dataset]) -> None:
    _panel(ax, ways, "budget_block_reappearance")
    _expected(ax, ways, "budget_coverage_prediction", "coverage law")
    ax.set_title("p_hat of block latents")


def _live(ax: Axes, ways: dict[str, xr.Dataset]) -> None:
    _panel(ax, ways, "budget_live_reappearance")
    _expected(ax, ways, "budget_live_reappearance_chance", "chance")
    ax.set_title("p_hat of live latents")


def _expected(ax: Axes, ways: dict[str, xr.Dataset], name: str, label: str) -> None:
    """What a law gives over the budget, a dashed line a way."""
    for way, (_, colour, _) in LINES.items():
        law = ways[way][name]
        mean = law.mean([d for d in ("seed", "block") if d in law.dims])
        ax.plot(law.budget, mean, color=colour, lw=1, ls="--")
    ax.plot([], [], color="black", lw=1, ls="--", label=label)


def _panel(ax: Axes, ways: dict[str, xr.Dataset], name: str) -> None:
    """A score over the budget, a line a way, with 95% intervals over seeds: EV is a seed's own."""
    interval = interval_of_each if name == "budget_explained_variance" else interval_over_seeds
    for way, (label, colour, marker) in LINES.items():
        score = interval(ways[way][name].transpose("budget", ...))
        ax.errorbar(
            ways[way].budget,
            score.estimate,
            error_bars(score),
            fmt=f"{marker}-",
            color=colour,
            ms=4,
            lw=1,
            capsize=2,
            label=label,
        )
    ax.set_ylim(-0.03, 1.06)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
