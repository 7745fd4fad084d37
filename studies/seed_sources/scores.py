"""Does a trained latent still point where it started?"""

import numpy as np
import xarray as xr

from synthsae.geometry import unit
from synthsae.sae import SAEStack
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled


@requires("blocks")
def start_memory(run: Run) -> xr.Dataset:
    """Cosine, inside the block, of a block's latents with their own directions at step 0.

    Both are projected into the block, cos(U^T d, U^T d_0): 1 where training kept the direction in
    which the latent happened to lean, 0 on average where it forgot it. NaN without latents there.
    """
    start = SAEStack.init(
        run.config.sae, run.d_model, run.config.train.init_seeds(run.seeds)
    ).directions()
    memory = np.full((len(run.seeds), len(run.blocks)), np.nan)
    for g, (block, basis) in enumerate(zip(run.blocks, run.bases, strict=True)):
        cosine = (unit(run.directions @ basis) * unit(start @ basis)).sum(axis=2)
        for s, members in enumerate(block.members):
            if members.any():
                memory[s, g] = cosine[s, members].mean()
    text = "mean cosine of a block's latents with their start, both projected into the block"
    return labelled(run, start_memory=(("seed", "block"), memory, text))
