"""Intervals with the world as the unit: each planted world is one independent number."""

import numpy as np
import xarray as xr

from synthsae.plot.common import interval_of_each, interval_over_seeds
from synthsae.plot.phrases import ANY, Range, interval
from synthsae.stats import Interval, mean_interval

SEEDS = ("seed", "seed_a", "seed_b", "block", "angle")
"""Dimensions within one world and one setting."""


def interval_over_worlds(
    values: xr.DataArray, level: float = 0.95, *, own: bool = False
) -> Interval:
    """Mean and t interval over `world_seed` of each world's mean, [...]: the other dimensions.

    Without that dimension, or with one world, the interval is over seeds: as for a measure that a
    seed has by itself if it is its `own`, else as for one that reads the other seeds.
    """
    if values.sizes.get("world_seed", 1) < 2:
        one = values.squeeze("world_seed") if "world_seed" in values.dims else values
        if own:
            return interval_of_each(one, level)
        if "seed_b" in one.dims:  # a symmetric measure of pairs: each seed's mean over the others
            one = one.mean("seed_b").rename(seed_a="seed")
        return interval_over_seeds(one, level)
    means = values.mean([d for d in SEEDS if d in values.dims])
    rows = means.transpose(..., "world_seed").values
    kept = [row[np.isfinite(row)] for row in rows.reshape(-1, rows.shape[-1])]
    nothing = Interval(*np.full(3, np.nan))
    each = [mean_interval(row, level) if len(row) > 1 else nothing for row in kept]
    return Interval(*np.reshape(np.transpose(each), (3, *rows.shape[:-1])))


def averaged(ds: xr.Dataset, *keep: str) -> xr.Dataset:
    """The Dataset averaged over dimensions other than `keep`, worlds and what is in a world.

    For a sentence about a Dataset to which the user added axes.
    """
    return ds.mean([d for d in ds.dims if d not in (*keep, "world_seed", *SEEDS)])


def in_words(
    values: xr.DataArray, digits: int = 2, *, own: bool = False, within: Range = ANY
) -> str:
    """Mean and 95% `interval_over_worlds` of one setting, cut to a range: 0.94 [0.90, 0.99]."""
    return interval(interval_over_worlds(values, own=own), f".{digits}f", within)
