"""In how many dimensions latents of each stability class may turn."""

import numpy as np
import xarray as xr

from synthsae.scores.rates import LABELS
from synthsae.scores.run import Dictionaries, Run, labelled


def rank_by_class(run: Run | Dictionaries) -> xr.Dataset:
    """Median rank of one latent (`metrics.latent_rank`) in each class; NaN for an empty class.

    Near 1: the latents are the same in every seed. R: each turns in R dimensions that the seeds
    share. D: a latent has nothing in common with the other seeds.
    """
    rank, label = run.latent_rank.rank, run.labels
    median = np.full((len(rank), len(LABELS)), np.nan)
    for s, c in np.ndindex(median.shape):
        if (chosen := label[s] == LABELS[c]).any():
            median[s, c] = np.median(rank[s, chosen])
    text = "median number of dimensions in which a latent may turn, by class"
    return labelled(
        run, class_latent_rank=(("seed", "label"), median, text, "dimensions")
    ).assign_coords(label=list(LABELS))
