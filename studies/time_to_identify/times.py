"""When a dictionary is half-way to the true axes: measured, and against the prediction."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from synthsae.plot.common import slices
from synthsae.plot.worlds import SEEDS

AXES = ("beta", "batch_size", "lr", "n_steps")
"""The axes of the study; a curve has the budgets `n_steps` as its points."""
NULL = 2.0
"""The beta at which no rotation is preferred."""


def curves(ds: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Means over worlds, seeds and blocks by `AXES`, shortest budget first.

    One Dataset for each value of the dimensions that the study does not have itself, with its name.
    """
    for label, part in slices(ds, (*AXES, "world_seed", *SEEDS, "angle")):
        means = part.mean([d for d in part.dims if d not in AXES])
        means = means.expand_dims([d for d in AXES if d not in means.dims])
        yield label, means.transpose(*AXES, ...).sortby("n_steps")


def half_times(means: xr.Dataset) -> xr.DataArray:
    """Learning rate times steps at which the axis cosine is half-way from chance to 1.

    Returns:
        By beta, batch size and learning rate, interpolated in the logarithm of the time; NaN where
        no budget, or already the first one, is beyond half-way.
    """
    middle = ((means.axis_cosine_chance + 1) / 2).max("n_steps")
    found = middle.copy(data=np.full(middle.shape, np.nan))
    for at in np.ndindex(found.shape):
        trained = means.learning.values[at] > 0
        truth = means.axis_cosine.values[at][trained]
        time = np.log(means.learning.values[at][trained])
        if not truth.size:
            continue
        i = int(np.argmax(truth >= middle.values[at]))
        if i > 0:  # 0: at once, or never
            part = slice(i - 1, i + 1)
            found.values[at] = np.exp(np.interp(middle.values[at], truth[part], time[part]))
    return found


def against_prediction(means: xr.Dataset) -> xr.DataArray:
    """Measured over predicted half-way times, by beta, batch size and learning rate."""
    return half_times(means) / means.predicted_half_time.max("n_steps")
