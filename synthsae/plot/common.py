"""What all figures share: Okabe and Ito's colours, intervals over seeds, slices of a Dataset, the
definitions behind it, and the line below a figure that says what to be careful with.
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
from synthsae.stats import Interval, mean_interval, pairwise_interval, row_interval

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"

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


def interval_over_seeds(values: xr.DataArray, level: float = 0.95) -> Interval:
    """Mean and interval with the seed as the unit, of an array [..., seed], averaged over blocks.

    For measures that read the other seeds: p_hat, transfer, and all that is a mean over latents
    which p_hat calls stable or unstable (`stats.row_interval`: the jackknife over seeds where the
    measure is a mean over pairs; elsewhere wide enough in its place). Measures that a seed has by
    itself: `interval_of_each`. Seeds that are NaN are left out.
    """
    rows = _in_a_world(values).transpose(..., "seed").values
    kept = [row[np.isfinite(row)] for row in rows.reshape(-1, rows.shape[-1])]
    nothing = Interval(*np.full(3, np.nan))
    each = [row_interval(row, level) if len(row) > 1 else nothing for row in kept]
    return Interval(*np.reshape(np.transpose(each), (3, *rows.shape[:-1])))


def interval_over_pairs(values: xr.DataArray, level: float = 0.95) -> Interval:
    """Mean over pairs and its jackknife over seeds, of an array [..., seed_a, seed_b]: [...].

    Seeds that are NaN are left out.
    """
    pairs = values.transpose(..., "seed_a", "seed_b").values
    each = []
    for matrix in pairs.reshape(-1, *pairs.shape[-2:]):
        whole = _whole(matrix)
        nothing = Interval(*np.full(3, np.nan))
        each.append(pairwise_interval(whole, level) if len(whole) > 1 else nothing)
    return Interval(*np.reshape(np.transpose(each), (3, *pairs.shape[:-2])))


def _whole(matrix: np.ndarray) -> np.ndarray:
    """A matrix of pairs without the seeds that lack a pair, those that lack most first."""
    bad = ~np.isfinite(matrix) & ~np.eye(len(matrix), dtype=bool)
    missing = bad.sum(axis=0) + bad.sum(axis=1)
    if not missing.any():
        return matrix
    kept = np.arange(len(matrix)) != missing.argmax()
    return _whole(matrix[np.ix_(kept, kept)])


def interval_of_each(values: xr.DataArray, level: float = 0.95) -> Interval:
    """Mean and t interval over seeds of a measure that a seed has by itself, [..., seed]: its EV,
    L0, cosines with the truth. Averaged over blocks.

    With two worlds or more the unit is the world, and each one's mean its number. NaN is left out.
    """
    values = _in_a_world(values)
    if values.sizes.get("world_seed", 1) > 1:
        rows = values.mean("seed").transpose(..., "world_seed").values
    else:
        one = values.squeeze("world_seed") if "world_seed" in values.dims else values
        rows = one.transpose(..., "seed").values
    kept = [row[np.isfinite(row)] for row in rows.reshape(-1, rows.shape[-1])]
    nothing = Interval(*np.full(3, np.nan))
    each = [mean_interval(row, level) if len(row) > 1 else nothing for row in kept]
    return Interval(*np.reshape(np.transpose(each), (3, *rows.shape[:-1])))


def _in_a_world(values: xr.DataArray) -> xr.DataArray:
    """Averaged over blocks and angles, which are not independent of each other."""
    return values.mean([d for d in values.dims if d in ("block", "angle")])


def error_bars(interval: Interval, most: float = 1.0) -> np.ndarray:
    """Lengths of error bars below and above, kept inside [0, most]; 0 where there is none."""
    low, high = np.clip(interval.low, 0, most), np.clip(interval.high, 0, most)
    return np.nan_to_num(np.maximum([interval.estimate - low, high - interval.estimate], 0))


def slices(ds: xr.Dataset, keep: Sequence[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """The Dataset at every combination of the dimensions that are not in `keep`, with its name."""
    extra = [str(d) for d in ds.dims if d not in keep]
    for values in product(*(ds[d].values for d in extra)):
        point = dict(zip(extra, values, strict=True))
        yield ", ".join(f"{d} = {v}" for d, v in point.items()), ds.sel(point)


def defined(ds: xr.Dataset, name: str) -> float:
    """A threshold of `Definitions` at one point of the Dataset; of a whole axis its first value."""
    return _defined(ds, name)[0]


def in_text(ds: xr.Dataset, name: str) -> str:
    """The same as texts write it, with all the values of an axis: .5 or .7."""
    return " or ".join(map(shown, _defined(ds, name)))


def _defined(ds: xr.Dataset, name: str) -> list[float]:
    if name in ds.coords:
        return [float(v) for v in np.ravel(ds[name].values)]
    written = json.loads(ds.attrs.get("definitions", "{}"))
    return [float(v) for v in np.ravel(written.get(name, getattr(DEFAULTS, name)))]


def caveat(ds: xr.Dataset) -> str:
    """What a reader of a figure of `ds` must know of how it was made, or ""."""
    said = []
    if ds.attrs.get("quick") == "true":
        said.append("quick run: few steps and seeds")
    if stale := json.loads(ds.attrs.get("stale", "[]")):
        more = f" and {len(stale) - 2} more" if len(stale) > 2 else ""
        said.append(f"trained by earlier code: {', '.join(stale[:2])}{more} changed since")
    return "; ".join(said)


def with_line_below(figure: Figure, text: str) -> Bbox:
    """Write `text` below a figure, which stays as it is; returns what to save, in inches."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # all is in its place, and stays there
    for legend in figure.legends:  # those at the edge of the figure
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(text, max(20, int(14 * width)))  # 8 pt: about 16 letters an inch
    at = (0.1 / width, -0.03 / height)
    figure.text(*at, "\n".join(lines), fontsize=8, color=GREY, va="top", ha="left")
    return Bbox([[0, -0.1 - 0.15 * len(lines)], [width, height]])
