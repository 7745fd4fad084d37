"""The coverage law read backwards: which rank does the measured stability imply?"""

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.stats import row_interval


@requires("blocks")
def implied_rank(run: Run, level: float = 0.95) -> xr.Dataset:
    """Mean p_hat of block latents with its interval over seeds, and the rank that each end implies.

    Right for blocks that no rotation changes and whose caps are disjoint: `theory.implied_rank` of
    the mean p_hat and the mean number of latents in a block. Where p_hat is 1 the law only bounds
    the rank: `low` is then 1. NaN where no seed has a latent in a block.
    """
    p, m = (run.per_block(f) for f in (lambda b: b.reappearance, lambda b: b.latents))
    rows = np.array([row[np.isfinite(row)].mean() for row in p if np.isfinite(row).any()])
    low = high = np.nan
    rank = theory.RankEstimate(*np.full((3, 1), np.nan))
    if len(rows) > 2:
        mean, low, high = (float(np.clip(v, 0, 1)) for v in row_interval(rows, level))
        rank = theory.implied_rank(mean, m.mean(), run.definitions.theta, interval=(low, high))
    about = f"{level:.0%} interval over seeds of the mean p_hat of block latents"
    implied = "rank at which min(1, m A_R) is the mean p_hat"
    return labelled(
        run,
        block_reappearance_low=((), low, f"lower end of the {about}"),
        block_reappearance_high=((), high, f"upper end of the {about}"),
        implied_rank=((), rank.rank.item(), implied),
        implied_rank_low=((), rank.low.item(), f"{implied}, at the upper end of its interval"),
        implied_rank_high=((), rank.high.item(), f"{implied}, at the lower end of its interval"),
    )
