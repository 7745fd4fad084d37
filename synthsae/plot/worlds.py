"""Datasets of several planted worlds: each world contributes one independent number."""

import xarray as xr

SEEDS = ("seed", "seed_a", "seed_b", "block", "angle")
"""Dimensions inside one world."""


def averaged(ds: xr.Dataset, *keep: str) -> xr.Dataset:
    """The Dataset averaged over all axes except `keep`, `world_seed` and `SEEDS`.

    Findings use it for Datasets to which the user has added axes.
    """
    return ds.mean([d for d in ds.dims if d not in (*keep, "world_seed", *SEEDS)])
