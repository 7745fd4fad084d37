"""Architectures at one explained variance (EV), by interpolation over k."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from synthsae.arrays import Array


def matched_level(ds: xr.Dataset) -> float:
    """The EV at which architectures are compared, to two digits.

    The middle between the highest of all lowest EVs and the lowest of all highest ones, over k, of
    each seed of each architecture: where these ranges have an EV in common, it is one. NaN without
    any number.
    """
    ev = ds.explained_variance
    low, high = float(ev.min("k").max()), float(ev.max("k").min())
    return round((low + high) / 2, 2)


def at_matched_ev(ds: xr.Dataset, names: Sequence[str], level: float | None = None) -> xr.Dataset:
    """Each of `names` [..., k] where the EV of the same architecture and seed is `level`.

    Linear in EV between neighbouring k, on the first pair that encloses the level; NaN for a seed
    whose EVs do not. The level is `matched_level`, unless given.
    """
    ds = ds.sortby("k")
    level = matched_level(ds) if level is None else level
    found = {
        name: xr.apply_ufunc(
            interpolate,
            ds.explained_variance,
            ds[name],
            level,
            input_core_dims=[["k"], ["k"], []],
            vectorize=True,
            output_dtypes=[float],
        )
        for name in names
    }
    return xr.Dataset(found, attrs={"level": level})


def interpolate(ev: Array, values: Array, level: float) -> float:
    """`values` [K] at the first place where `ev` [K], joined by lines, has `level`; else NaN."""
    before, after = ev[:-1] - level, ev[1:] - level
    crossed = np.flatnonzero(before * after <= 0)
    if not len(crossed):
        return np.nan
    i = crossed[0]
    way = ev[i + 1] - ev[i]
    share = (level - ev[i]) / way if way else 0.0
    return float((1 - share) * values[i] + share * values[i + 1])
