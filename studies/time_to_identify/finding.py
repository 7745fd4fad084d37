"""The finding of `time_to_identify`, in words."""

import numpy as np
import pandas as pd
import xarray as xr
from synthsae.studies.time_to_identify.times import (
    NULL,
    against_prediction,
    curves,
    half_times,
)

from synthsae.plot.finding import Finding


def finding(ds: xr.Dataset) -> Finding:
    """How the measured times compare with the predicted ones, and what the null does."""
    each = [_table(label, means) for label, means in curves(ds)]
    table = pd.concat(each, ignore_index=True)
    ratio = table["measured / predicted"].dropna()
    text = "No setting gets half-way to its true axes within these budgets."
    if len(ratio):
        text = (
            "Latents get half-way to the true axes after {low:.1f} to {high:.1f} times the "
            "learning rate times steps that theory predicts without training."
        )
    numbers = {"low": ratio.min(), "high": ratio.max()}
    null = [m.sel(beta=NULL).isel(n_steps=-1) for _, m in curves(ds) if NULL in m.beta]
    if null:
        text += " Where nothing prefers the axes (beta = 2), p_hat ends at {p}; the law says {law}."
        numbers |= {
            "p": float(np.mean([m.block_reappearance for m in null])),
            "law": float(np.mean([m.coverage_prediction for m in null])),
        }
    return Finding(text, numbers, table)


def _table(label: str, means: xr.Dataset) -> pd.DataFrame:
    """Half-way times of every beta but the null, batch size and learning rate."""
    times = xr.Dataset(
        {
            "measured": half_times(means),
            "predicted": means.predicted_half_time.max("n_steps"),
            "measured / predicted": against_prediction(means),
        }
    )
    table = times.drop_sel(beta=NULL, errors="ignore").to_dataframe().reset_index()
    return table.assign(setting=label) if label else table
