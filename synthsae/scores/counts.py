"""In how many other seeds is a latent found: a histogram, and shares by pair of seeds."""

import numpy as np
import xarray as xr

from synthsae.definitions import shown
from synthsae.scores.run import Dictionaries, Run, labelled


def reappearance_counts(run: Run | Dictionaries) -> xr.Dataset:
    """Number of live latents that are found in 0, 1, ..., S - 1 other seeds.

    `found_share` [s, t] is the share of the live latents of s that are found in t. Its mean over t
    is the mean p_hat of s. Jackknife intervals from it hold for dictionaries of different sizes.
    """
    n, count = len(run.seeds), run.live.sum(axis=1)
    signs, theta = "absolute" if run.absolute else "signed", shown(run.definitions.theta)
    times = np.where(run.live, run.found.sum(axis=1) - 1, -1)
    histogram = np.array([np.bincount(row[row >= 0], minlength=n) for row in times])
    share = np.divide(
        run.found.sum(axis=2),
        count[:, None],
        out=np.full((n, n), np.nan),
        where=(count[:, None] > 0) & ~np.eye(n, dtype=bool),
    )
    return labelled(
        run,
        reappearance_counts=(
            ("seed", "found_in"),
            histogram,
            "live latents that are found in so many other seeds",
            "latents",
        ),
        found_share=(
            ("seed_a", "seed_b"),
            share,
            f"share of the live latents of a that are found in b ({signs} cosine >= {theta})",
        ),
    )
