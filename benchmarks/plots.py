"""Figures of the engine's records."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cases import CURVES, DENSE, LIMIT, OURS
from cases import S as BASE
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from ratios import Row, by_round, met, rows, spread, within_rounds

from synthsae.plot.common import BLUE, GREY, ORANGE, STYLE

Record = Mapping[str, Any]
NAMES = {"m": "latents M", "d": "dimension D", "k": "k", "seeds": "seeds S", "batch": "batch B"}


def peers(records: Sequence[Record]) -> Figure:
    """Dot and range of our rate over each library's, one panel a case, aims as ticks.

    The cases with generated data, which have one library, share a panel.
    """
    panels: dict[str, dict[str, Row]] = {}
    for record in records:
        for row in rows(record):
            one = record["group"] == "generated"
            title = f"data generated, {row.library}" if one else row.case
            if row.library != OURS:
                panels.setdefault(title, {})[row.case if one else row.library] = row
    reached, aimed = (sum(n) for n in zip(*map(met, records), strict=True))
    ratios = [row.ratio.median for found in panels.values() for row in found.values()]
    with rc_context(STYLE):
        columns = min(4, len(panels))
        lines = -(-len(panels) // columns)
        figure = Figure(figsize=(2.9 * columns + 1, 2.2 * lines + 0.6), layout="constrained")
        axes = figure.subplots(lines, columns, sharex=True, squeeze=False).ravel()
        for ax, (title, found) in zip(axes, panels.items(), strict=False):
            _ratios(ax, title, found)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for ax in axes[max(0, len(panels) - columns) : len(panels)]:
            ax.set_xlabel("times as fast")
            ax.tick_params(labelbottom=True)
        best = f"synthsae trains {min(ratios):.2g} to {max(ratios):.2g} times as fast"
        aims = f"; {reached} of {aimed} aims reached (orange)" if aimed else ""
        figure.suptitle(best + aims, fontsize=10)
    return figure


def _ratios(ax: Axes, title: str, found: dict[str, Row]) -> None:
    """One panel: libraries down, ratio across."""
    for y, row in enumerate(reversed(found.values())):
        ax.plot([row.ratio.low, row.ratio.high], [y, y], color=BLUE, lw=2)
        ax.plot(row.ratio.median, y, "o", color=BLUE, ms=5)
        if row.aim:
            ax.plot(row.aim, y, "|", color=ORANGE, ms=14, mew=2)
    ax.set_yticks(range(len(found)), list(reversed(found)))
    ax.set_ylim(-0.6, len(found) - 0.4)
    ax.set_xscale("log")
    ax.axvline(1, color=GREY, lw=0.8, ls=":")
    ticks = (0.5, 1, 2, 5, 10, 20, 50, 100)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set_title(title)


def scaling(record: Record) -> Figure:
    """Nanoseconds a seed-sample against each field of S, with the arithmetic limit."""
    shares = [
        within_rounds(
            by_round(record, case, OURS), by_round(record, case, LIMIT), lambda a, b: a / b
        ).median
        for case in record["cases"]
    ]
    names = [n for n in CURVES if any(case.startswith(f"{n} ") for case in record["cases"])]
    with rc_context(STYLE):
        figure = Figure(figsize=(2.4 * max(3, len(names)), 3), layout="constrained")
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for ax, name in zip(axes, names, strict=True):
            _curve(ax, record, name)
        axes[0].set_ylabel("ns a seed-sample")
        axes[0].legend(loc="upper left")
        figure.suptitle(
            f"{min(shares):.0%} to {max(shares):.0%} of the arithmetic limit (D {BASE.d}, "
            f"M {BASE.m}, k {BASE.k}, batch {BASE.batch}, {BASE.seeds} seeds unless said)",
            fontsize=10,
        )
    return figure


def _curve(ax: Axes, record: Record, name: str) -> None:
    """One panel: the cost against one field."""
    kept = [v for v in CURVES[name] if f"{name} {v}" in record["cases"]]
    for library, colour, mark in ((DENSE, ORANGE, "s-"), (OURS, BLUE, "o-"), (LIMIT, GREY, "--")):
        cost = [
            spread([1e9 / rate for rate in by_round(record, f"{name} {v}", library)]) for v in kept
        ]
        middle = np.array([c.median for c in cost])
        ax.plot(kept, middle, mark, color=colour, ms=4, lw=1.4, label=library)
        ax.fill_between(
            kept, [c.low for c in cost], [c.high for c in cost], color=colour, alpha=0.2, lw=0
        )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.tick_params(axis="x", rotation=60)
    ax.set_title(NAMES[name])
