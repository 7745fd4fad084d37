"""What all figures share: colours, error bars, slices of a Dataset, its definitions, and the caveat
below a figure.
"""

import json
import textwrap
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from synthsae.definitions import DEFAULTS, shown
from synthsae.stats import Interval

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
"""Okabe and Ito's colours."""

FEW_SEEDS = 5
"""With fewer SAEs intervals over seeds do not hold their level if seeds differ much."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


def error_bars(interval: Interval, most: float = 1.0, least: float = 0.0) -> np.ndarray:
    """Lengths of error bars below and above the estimate, [2, ...].

    The ends are clipped to [least, most]. An unknown interval has length 0.
    """
    low, high = (np.clip(end, least, most) for end in (interval.low, interval.high))
    return np.nan_to_num(np.maximum([interval.estimate - low, high - interval.estimate], 0))


def slices(ds: xr.Dataset, keep: Sequence[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Label and Dataset at every combination of the dimensions that are not in `keep`."""
    extra = [str(d) for d in ds.dims if d not in keep]
    for values in product(*(ds[d].values for d in extra)):
        point = dict(zip(extra, values, strict=True))
        yield ", ".join(f"{d} = {v}" for d, v in point.items()), ds.sel(point)


def defined(ds: xr.Dataset, name: str) -> float:
    """A threshold of `Definitions` that the Dataset uses; the first value if it is an axis."""
    return _defined(ds, name)[0]


def in_text(ds: xr.Dataset, name: str) -> str:
    """A threshold as text, with all values if it is an axis: `.5 or .7`."""
    return " or ".join(map(shown, _defined(ds, name)))


def _defined(ds: xr.Dataset, name: str) -> list[float]:
    if name in ds.coords:
        return [float(v) for v in np.ravel(ds[name].values)]
    written = json.loads(ds.attrs.get("definitions", "{}"))
    return [float(v) for v in np.ravel(written.get(name, getattr(DEFAULTS, name)))]


def caveat(ds: xr.Dataset) -> str:
    """What must be said below a figure of `ds` and beside its finding, or "".

    A quick run, trainings of earlier code, intervals over few SAEs, and SAEs far from the others.
    """
    warnings = []
    if ds.attrs.get("quick") == "true":
        warnings.append("quick run: undertrained, for a smoke test")
    if stale := json.loads(ds.attrs.get("stale", "[]")):
        more = f" and {len(stale) - 2} more" if len(stale) > 2 else ""
        warnings.append(f"trained by earlier code: {', '.join(stale[:2])}{more} changed since")
    seeds = max((ds.sizes[d] for d in ("seed", "seed_a") if d in ds.dims), default=FEW_SEEDS)
    if seeds < FEW_SEEDS and ds.sizes.get("world_seed", 1) < 2:
        warnings.append(f"intervals over {seeds} SAEs may cover less than they say")
    if "explained_variance" in ds and (odd := outliers(ds.explained_variance)):
        warnings.append(f"explained variance far from that of the other seeds: {odd}")
    return "; ".join(warnings)


def outliers(values: xr.DataArray) -> str:
    """Seeds far from the median of their setting, named by setting, at most two; or "".

    Far: 5 robust standard deviations (1.4826 times the median absolute deviation) and .02.
    Intervals over seeds cover too little where one has failed (studies/STATISTICS.md).
    """
    if values.sizes.get("seed", 1) < 3:
        return ""
    gap = abs(values - values.median("seed", skipna=False))
    far = gap > np.maximum(5 * 1.4826 * gap.median("seed", skipna=False), 0.02)
    found = [
        ", ".join(f"{d} {values[d].values[i]}" for d, i in zip(far.dims, at, strict=True))
        for at in np.argwhere(far.values)
    ]
    more = f" and {len(found) - 2} more" if len(found) > 2 else ""
    return "; ".join(found[:2]) + more


def with_line_below(figure: Figure, text: str) -> Bbox:
    """Write `text` below a figure without moving its content.

    Returns:
        The area to save, in inches.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # keep the present layout
    for legend in figure.legends:  # the layout engine no longer places them
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(text, max(20, int(14 * width)))  # 8 pt: about 16 letters an inch
    at = (0.1 / width, -0.03 / height)
    figure.text(*at, "\n".join(lines), fontsize=8, color=GREY, va="top", ha="left")
    return Bbox([[0, -0.1 - 0.15 * len(lines)], [width, height]])
