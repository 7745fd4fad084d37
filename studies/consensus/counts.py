"""What the two lists of a consensus hold, and how often they are wrong: counts with intervals."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from synthsae.plot.common import slices
from synthsae.stats import Interval, mean_interval

LEVEL = 0.95
ENOUGH = 20
"""Entries below which a setting is too small to be called the worst."""


def totals(ds: xr.Dataset) -> xr.Dataset:
    """Sums over all dimensions but the number of seeds and the level."""
    return ds.sum([d for d in ds.dims if d not in ("n_used", "level")])


def recall(ds: xr.Dataset, name: str, *keep: str) -> xr.DataArray:
    """Mean recall of the planted `name` ("feature" or "block"), [n_used, level, *keep]."""
    values = ds[f"{name}_recall"]
    return values.mean([d for d in values.dims if d not in ("n_used", "level", *keep)])


def recall_interval(ds: xr.Dataset, name: str, *keep: str) -> Interval:
    """`recall` with its t interval over worlds; NaN ends for one world."""
    mean = recall(ds, name, *keep)
    if ds.sizes.get("world_seed", 1) < 2:
        return Interval(mean.values, *np.full((2, *mean.shape), np.nan))
    return mean_interval(recall(ds, name, *keep, "world_seed").transpose(..., "world_seed").values)


def share_wrong(ds: xr.Dataset, kind: str, level: float = 0.95) -> Interval:
    """Wrong entries over all listed ones, with the exact interval of Clopper and Pearson.

    As if entries were independent; those of one block are not, and intervals are then too short.
    """
    n = int(ds[f"{kind}_listed"].sum())
    if not n:
        return Interval(*np.full(3, np.nan))
    test = binomtest(int(ds[f"{kind}_wrong"].sum()), n)
    ends = test.proportion_ci(level, method="exact")
    return Interval(np.array(test.statistic), np.array(ends.low), np.array(ends.high))


class Worst(NamedTuple):
    """The setting whose lists are wrong most often: in words, its share, its counts."""

    setting: str
    share: Interval
    wrong: int
    listed: int


def worst(ds: xr.Dataset, kind: str) -> Worst | None:
    """The number of seeds (and rank) most often wrong, of those with `ENOUGH` entries; or None.

    `ds` is of one level. The sets of seeds of one number are disjoint; those of two share seeds.
    """
    counts = ds[[f"{kind}_wrong", f"{kind}_listed"]]
    counts = counts.sum([d for d in counts.dims if d not in ("n_used", "rank")])
    found = []
    for _, part in slices(counts, ()):
        where = (
            f"{int(part.n_used)} seeds" + ("rank" in ds.dims) * f" at rank {part['rank'].item()}"
        )
        wrong, listed = (int(part[f"{kind}_{what}"]) for what in ("wrong", "listed"))
        found.append(Worst(where, share_wrong(part, kind), wrong, listed))
    return max(
        (w for w in found if w.listed >= ENOUGH), key=lambda w: w.wrong / w.listed, default=None
    )
