"""The finding of `time_to_identify`, in words."""

import numpy as np
import xarray as xr
from synthsae.studies.time_to_identify.times import NULL, against_prediction, curves

from synthsae.plot.phrases import extremes, number


def finding(ds: xr.Dataset) -> str:
    """How the measured times compare with the predicted ones, and what the null does."""
    text = []
    for label, means in curves(ds):
        text += [f"With {label}:"] * bool(label)
        text += [*_late(means), *_never(means)]
    return " ".join(text)


def _late(means: xr.Dataset) -> list[str]:
    """What is said of blocks whose axes the loss prefers."""
    ratio = against_prediction(means)
    if not np.isfinite(ratio).any():
        return ["No setting gets half-way to its true axes within these budgets."]
    return [
        f"Latents get half-way to the true axes after {extremes(ratio, '.1f')} times the learning "
        "rate times steps that theory predicts without training."
    ]


def _never(means: xr.Dataset) -> list[str]:
    """What is said of the null at the largest budget, if the null is among the settings."""
    if NULL not in means.beta:
        return []
    last = means.sel(beta=NULL).isel(n_steps=-1)
    p, law = (number(last[n].mean()) for n in ("block_reappearance", "coverage_prediction"))
    return [f"Where nothing prefers the axes (beta = 2), p_hat ends at {p}; the law says {law}."]
