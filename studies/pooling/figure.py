"""Pools of seeds: what they cover, what they find, and what else the same training buys."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE, defined, in_text, slices
from synthsae.plot.phrases import number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval
from synthsae.theory import coverage_closed, seeds_needed

WORLDS = ("world_seed", "side", "seed", "seed_a", "seed_b", "block")
KEEP = ("rank", "recipe", "pool_size", "union_size", *WORLDS)
LINES = {
    "kept": ("pool, encoders kept", GREY, "v", ":"),
    "refitted": ("pool, refitted", BLUE, "o", "-"),
    "random": ("random latents of the pool, refitted", GREY, "^", "--"),
    "wide": ("one SAE as wide, as long", ORANGE, "s", "-"),
    "averaged": ("averaged (N k fire)", GREEN, "D", "--"),
    "boosted": ("boosted (N k fire)", "black", "x", "--"),
}
"""Name, colour, marker and line of a recipe."""

TARGET = 0.95
RANKS = (2, 3, 4, 6, 8, 12, 16)


def needed(values: xr.DataArray, target: float = TARGET) -> float:
    """Least `union_size` at which the mean of `values` reaches `target`; inf where none does."""
    mean = values.mean([d for d in WORLDS if d in values.dims])
    reached = mean.union_size.values[mean.values >= target]
    return float(reached[0]) if reached.size else np.inf


def before_training(rank: ArrayLike, theta: float) -> Array:
    """Seeds whose union covers .95 of a block by the law m A_R, assuming m = 2R latents a seed."""
    rank = np.asarray(rank)
    return seeds_needed(coverage_closed(2 * rank, rank, theta), TARGET)


def finds_or_covers(ds: xr.Dataset) -> Figure:
    """Left, features that pools find; right, latents of pools that come back, beside turned pools.

    Without a planted truth: what unions of seeds have, and what pools share.
    """
    parts = _parts(ds)
    panels = [draw for needs, draw in HEADLINE if needs in ds] or [_covered, _stability]
    figure = _drawn(parts, panels)
    if len(panels) == len(HEADLINE) and all(draw in panels for _, draw in HEADLINE):
        last = parts[-1][1]
        _, many = _ends(last.isel(rank=-1).pool_features_found)
        size = int(last.pool_size[-1])
        at = _rank(last).removeprefix(", ")
        title = f"At {at} pools" if at else "Pools"
        title += f" of {size} seeds find {number(many, '.0%')} of the isolated features. "
        title += "Block latents\ncome back no more often than after random rotations of the pool"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def pools_by_size(ds: xr.Dataset) -> Figure:
    """What the headline leaves out, as far as the Dataset has it. Rows for each further axis."""
    return _drawn(_parts(ds), [draw for needs, draw in REST if needs in ds])


Panel = Callable[[Axes, xr.Dataset], None]


def _parts(ds: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Settings beside rank and worlds, with their names."""
    return list(slices(ds if "rank" in ds.dims else ds.expand_dims(rank=[0]), KEEP))


def _drawn(parts: list[tuple[str, xr.Dataset]], panels: Sequence[Panel]) -> Figure:
    """Panels, two a row, for each setting, and the legend of the recipes below."""
    rows = -(-len(panels) // 2)
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4 * rows * len(parts) + 1.1), layout="constrained")
        grid = figure.subplots(rows * len(parts), min(2, len(panels)), squeeze=False)
        for i, (label, part) in enumerate(parts):
            axes = grid[rows * i : rows * (i + 1)].ravel()
            for ax, draw in zip(axes, panels, strict=False):
                draw(ax, part)
            for ax in axes[len(panels) :]:
                ax.set_axis_off()
            axes[0].set_ylabel("\n".join(filter(None, [label, axes[0].get_ylabel()])))
        handles = [
            figure.axes[0].plot([], [], f"{marker}{style}", color=colour, ms=4, label=name)[0]
            for name, colour, marker, style in LINES.values()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _covered(ax: Axes, ds: xr.Dataset) -> None:
    """Union size against the share of block latents found, beside the law, a line a rank."""
    score = "union_block_reappearance" if "union_block_reappearance" in ds else "union_reappearance"
    shades = (BLUE, ORANGE, GREEN, GREY, "black")
    for colour, rank in zip(shades, ds["rank"].values, strict=False):
        part = ds.sel(rank=rank)
        at = part.union_size <= 16
        seen = interval_of(part[score].sel(union_size=at))
        x = part.union_size.values[at]
        ax.plot(x, seen.estimate, "o", color=colour, ms=3.5)
        ax.fill_between(x, seen.low, seen.high, color=colour, alpha=0.2, lw=0)
        if "union_block_law" in ds:
            law = part.union_block_law.mean([d for d in WORLDS if d in part.union_block_law.dims])
            ax.plot(x, law.sel(union_size=at), color=colour, lw=1)
            ax.plot([], [], "o-", color=colour, ms=3.5, lw=1, label=f"rank {rank}")
    ax.axhline(TARGET, color=GREY, lw=0.6, ls=":")
    kind = "block" if "union_block_law" in ds else "live"
    law = ":\nthe coverage law (lines)" if kind == "block" else ""
    ax.set_title(f"{kind} latents found in the union of N other seeds{law}")
    ax.set_ylabel(f"{kind} latents found")
    _sizes(ax)
    if kind == "block":
        ax.legend(loc="lower right")


def _needed(ax: Axes, ds: xr.Dataset) -> None:
    """Rank against the seeds whose union finds .95 of a block's latents."""
    ranks, p = ds["rank"].values, ds.union_block_reappearance
    most = max(ranks)
    for style, at, label in (
        ("-", [r for r in RANKS if r <= most], "law before training, m = 2R"),
        ("--", [r for r in RANKS if r >= most], "the law alone: not measured"),
    ):
        ax.plot(at, before_training(at, defined(ds, "theta")), style, color=BLUE, lw=1, label=label)
    seen = [needed(p.sel(rank=r)) for r in ranks]
    ax.plot(ranks, seen, "o", color=BLUE, label="measured (ticks: each world)")
    for world in range(p.sizes.get("world_seed", 1)):
        one = p.isel(world_seed=world) if "world_seed" in p.dims else p
        ax.plot(ranks, [needed(one.sel(rank=r)) for r in ranks], "_", color="black", ms=9)
    for rank, n in zip(ranks, seen, strict=True):
        if np.isfinite(n):
            ax.annotate(f"{n:.0f}", (rank, n), (5, -9), textcoords="offset points", fontsize=8)
    ax.set_yscale("log")
    ax.set_xticks(RANKS[::2] + RANKS[1::2], [str(r) for r in RANKS[::2] + RANKS[1::2]])
    ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("rank of the block")
    measured = ", ".join(map(str, ranks))
    ax.set_title(f"seeds whose union covers 95% of a block:\nmeasured at rank {measured}")
    ax.legend(loc="upper left")


def _found(ax: Axes, ds: xr.Dataset) -> None:
    """Pool size against features found, beside 1 - (1 - q)^N."""
    last = ds.isel(rank=-1)
    _recipes(ax, last.pool_features_found)
    if "union_features_found" in ds:
        law = last.union_features_found.sel(union_size=last.pool_size)
        mean = law.mean([d for d in WORLDS if d in law.dims])
        text = "predicted: 1 - (1 - q)$^N$, q of one seed"
        ax.plot(ds.pool_size, mean, color="black", lw=3, alpha=0.25, zorder=0, label=text)
        ax.legend(handles=ax.lines[-1:], loc="lower left")
    one, many = _ends(last.pool_features_found)
    text = f"one seed finds {number(one, '.0%')}, a refitted pool {number(many, '.0%')}{_rank(ds)}"
    ax.set_title(text)
    ax.set_ylabel("isolated features found")
    _sizes(ax)


def _strict(ax: Axes, ds: xr.Dataset) -> None:
    """Rank against latents of the largest refitted pool that another has, at two thresholds."""
    last = ds.sel({"recipe": "refitted"}).isel(pool_size=-1)
    x, told = np.arange(last.sizes["rank"]), {}
    for kind, colour, shift in (("isolated", BLUE, -0.08), ("block", ORANGE, 0.08)):
        for strict, style, which in (("", "-", "theta"), ("strict_", "--", "same")):
            score = f"pool_{kind}_{strict}reappearance"
            seen = interval_of(last[score])
            name = "features'" if kind == "isolated" else "block"
            _bars(
                ax,
                x + shift,
                seen,
                f"o{style}",
                colour,
                f"{name} latents, cosine {in_text(ds, which)}",
            )
            told[kind] = ", ".join(number(v).lstrip("0") for v in seen.estimate)
            if f"{score}_law" in last:
                law = last[f"{score}_law"]
                mean = law.mean([d for d in WORLDS if d in law.dims])
                ax.plot(x + shift, mean, "_", color="black", ms=15, mew=1.6, zorder=3)
    ax.plot([], [], "_", color="black", ms=9, mew=1.6, label="the same pool, Haar-rotated")
    same = in_text(ds, "same")
    ax.set_title(
        f"refitted pools of {int(last.pool_size)}; at cosine {same} by rank:\n"
        f"features' latents {told['isolated']}, block latents {told['block']}"
    )
    ax.set_ylabel("latents found in another pool")
    ax.set_xticks(x, [str(r) for r in ds["rank"].values])
    ax.set_xlim(-0.3, len(x) - 0.7)
    ax.set_xlabel("rank of the block")
    ax.set_ylim(-0.5, 1.06)  # room for the legend
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(loc="lower left", ncols=2, columnspacing=1)


def _variance(ax: Axes, ds: xr.Dataset) -> None:
    """Pool size against EV."""
    values = ds.isel(rank=-1).pool_explained_variance
    _recipes(ax, values, least=-np.inf)
    mean = values.mean([d for d in WORLDS if d in values.dims])
    low = float(mean.sel({"recipe": ["refitted", "random", "wide"]}).min())
    ax.set_ylim(low - 0.06, 1.01)
    least = float(mean.sel({"recipe": "kept"}).min())
    one, many = _ends(values)
    title = f"EV{_rank(ds)}: {number(one)} of one seed, {number(many)} of a pool"
    ax.set_title(f"{title}\nrefitted (encoders kept: down to {number(least)})")
    ax.set_xscale("log", base=2)
    ax.set_xticks(ds.pool_size.values, [str(n) for n in ds.pool_size.values])
    ax.set_xlabel("seeds N")


def _stability(ax: Axes, ds: xr.Dataset) -> None:
    """Pool size against the share of live latents that come back."""
    values = ds.isel(rank=-1).pool_reappearance
    _recipes(ax, values)
    one, many = _ends(values)
    title = f"live latents found by other seeds{_rank(ds)}:"
    ax.set_title(
        f"{title}\n{number(one, '.0%')} of one seed's, {number(many, '.0%')} of a refitted pool's"
    )
    _sizes(ax)


HEADLINE: tuple[tuple[str, Panel], ...] = (
    ("pool_features_found", _found),
    ("pool_block_reappearance", _strict),
)
"""What a panel of the headline needs, and what draws it."""
REST: tuple[tuple[str, Panel], ...] = (
    ("union_reappearance", _covered),
    ("union_block_reappearance", _needed),
    ("pool_explained_variance", _variance),
    ("pool_reappearance", _stability),
)
"""The same of the supplement."""


def _rank(ds: xr.Dataset) -> str:
    """The rank that a panel of recipes shows, the last."""
    return f", rank {ds['rank'].values[-1]}" if "union_block_law" in ds else ""


def _ends(values: xr.DataArray) -> Array:
    """A score of one seed and of the largest refitted pool."""
    mean = values.mean([d for d in WORLDS if d in values.dims]).isel(pool_size=[0, -1])
    return np.diagonal(mean.sel({"recipe": ["kept", "refitted"]}).transpose("recipe", "pool_size"))


def _recipes(ax: Axes, values: xr.DataArray, least: float = 0.0) -> None:
    """A score over the pool size, a line a recipe, side by side so that bars are seen."""
    for i, (recipe, (name, colour, marker, style)) in enumerate(LINES.items()):
        seen, x = interval_of(values.sel({"recipe": recipe})), values.pool_size * 1.03 ** (i - 2.5)
        _bars(ax, x, seen, f"{marker}{style}", colour, name, least)


def _bars(
    ax: Axes, x: ArrayLike, seen: Interval, form: str, colour: str, name: str, least: float = 0.0
) -> None:
    """A line with the intervals that there are, kept inside [least, 1]."""
    low = np.minimum(seen.estimate, np.maximum(seen.low, least))
    high = np.maximum(seen.estimate, np.minimum(seen.high, 1))
    ends = np.nan_to_num([seen.estimate - low, high - seen.estimate])
    ax.errorbar(x, seen.estimate, ends, fmt=form, color=colour, ms=4, lw=1, capsize=2, label=name)


def _sizes(ax: Axes) -> None:
    """Axes of a share over seeds."""
    ax.set_xscale("log", base=2)
    ax.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    ax.set_xlabel("seeds N")
    ax.set_ylim(-0.03, 1.06)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
