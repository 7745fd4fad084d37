"""Firing rates of latents, by stability class."""

import numpy as np
import xarray as xr

from synthsae.scores.run import Run, labelled

LABELS = ("stable", "middle", "unstable")


def firing_rates(run: Run) -> xr.Dataset:
    """Mean firing rate of the live latents of each class; NaN for an empty class."""
    rate = run.evaluation.rates
    chosen = np.array([run.labels == name for name in LABELS]).swapaxes(0, 1)
    count = chosen.sum(axis=2)
    total = (rate[:, None] * chosen).sum(axis=2)
    mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    text = "mean share of held-out samples on which a live latent fires, by class"
    return labelled(run, firing_rate=(("seed", "label"), mean, text)).assign_coords(
        label=list(LABELS)
    )
