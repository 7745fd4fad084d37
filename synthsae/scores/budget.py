"""Number of training samples of a cell."""

import xarray as xr

from synthsae.scores.run import Run, labelled


def training_budget(run: Run) -> xr.Dataset:
    """Number of samples that each seed was trained on."""
    n = run.config.training.n_samples
    return labelled(run, training_samples=((), n, "samples that a seed was trained on", "samples"))
