"""Intervals over planted worlds: each world contributes one independent number."""

import numpy as np
import xarray as xr

from synthsae.plot.common import interval_of_each, interval_over_seeds
from synthsae.stats import Interval, mean_interval

SEEDS = ("seed", "seed_a", "seed_b", "block", "angle")
"""Dimensions inside one world."""


def interval_over_worlds(
    values: xr.DataArray, level: float = 0.95, *, own: bool = False
) -> Interval:
    """Mean over worlds, with a t interval over `world_seed`.

    Args:
        values: a score. It is averaged over `SEEDS` within each world.
        level: coverage.
        own: whether the score belongs to each seed alone. This matters only with fewer than two
            worlds, where the interval is over seeds: `interval_of_each` if `own`, otherwise
            `interval_over_seeds`.

    Returns:
        Estimate, low and high, each of the remaining dimensions.
    """
    if values.sizes.get("world_seed", 1) < 2:
        one = values.squeeze("world_seed") if "world_seed" in values.dims else values
        if own:
            return interval_of_each(one, level)
        if (
            "seed_b" in one.dims
        ):  # a symmetric score of pairs: the mean of each seed over the others
            one = one.mean("seed_b").rename(seed_a="seed")
        return interval_over_seeds(one, level)
    means = values.mean([d for d in SEEDS if d in values.dims])
    rows = means.transpose(..., "world_seed").values
    kept = [row[np.isfinite(row)] for row in rows.reshape(-1, rows.shape[-1])]
    unknown = Interval(*np.full(3, np.nan))
    each = [mean_interval(row, level) if len(row) > 1 else unknown for row in kept]
    return Interval(*np.reshape(np.transpose(each), (3, *rows.shape[:-1])))


def averaged(ds: xr.Dataset, *keep: str) -> xr.Dataset:
    """The Dataset averaged over all axes except `keep`, `world_seed` and `SEEDS`.

    Findings use it for Datasets to which the user has added axes.
    """
    return ds.mean([d for d in ds.dims if d not in (*keep, "world_seed", *SEEDS)])
