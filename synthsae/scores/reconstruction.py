"""Reconstruction and sparsity on held-out samples."""

import xarray as xr

from synthsae.definitions import shown
from synthsae.scores.run import Run, labelled


def reconstruction(run: Run) -> xr.Dataset:
    """Explained variance, L0 and share of dead latents on held-out samples."""
    live = shown(run.definitions.live)
    return labelled(
        run,
        explained_variance=(("seed",), run.evaluation.explained_variance, "explained variance"),
        l0=(("seed",), run.evaluation.rates.sum(axis=1), "active latents a sample", "latents"),
        dead_fraction=(
            ("seed",),
            1 - run.live.mean(axis=1),
            f"share of latents that fire on fewer than {live} of the samples",
        ),
    )
