"""The cosine of trained latents with their initial directions."""

import numpy as np
import xarray as xr

from synthsae.geometry import unit
from synthsae.sae import SAEStack
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled


@requires("blocks")
def cosine_with_start(run: Run) -> xr.Dataset:
    """Mean cosine of a block's latents d with their initial directions d_0, inside the block.

    Both are projected into the block, cos(U^T d, U^T d_0). It is 1 if training does not change the
    direction inside the block, and 0 on average if the direction does not depend on the start. NaN
    for a block without latents. The variable is called `start_memory`.
    """
    start = SAEStack.init(
        run.config.sae, run.d_model, run.config.train.init_seeds(run.seeds)
    ).directions()
    mean_cosine = np.full((len(run.seeds), len(run.blocks)), np.nan)
    for g, (block, basis) in enumerate(zip(run.blocks, run.bases, strict=True)):
        cosine = (unit(run.directions @ basis) * unit(start @ basis)).sum(axis=2)
        for s, members in enumerate(block.members):
            if members.any():
                mean_cosine[s, g] = cosine[s, members].mean()
    text = "mean cosine of a block's latents with their start, both projected into the block"
    return labelled(run, start_memory=(("seed", "block"), mean_cosine, text))
