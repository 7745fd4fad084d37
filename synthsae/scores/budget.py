"""How much training a cell had."""

import xarray as xr

from synthsae.scores.run import Run, labelled


def training_budget(run: Run) -> xr.Dataset:
    """The samples that each seed was trained on: one pass, no sample twice."""
    n = run.config.training.n_samples
    return labelled(run, training_samples=((), n, "samples that a seed was trained on", "samples"))
