"""Would a loss prefer the true axes of generalised-normal blocks, before any training?"""

import numpy as np
import xarray as xr
from scipy.linalg import block_diag

from synthsae.arrays import Array
from synthsae.geometry import haar
from synthsae.rng import numpy_generator
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.theory import frame_loss, generalised_normal


@requires("axes", "separate blocks")
def flatness(run: Run, samples: int = 8192, draws: int = 32) -> xr.Dataset:
    """Loss of the world's axes and of random rotations inside its blocks, before any training.

    `theory.frame_loss` on the codes of all blocks at once, gates and all, so that the k latents of
    a sample are shared as they are in training; isolated features and noise are left out. In units
    of the codes' variance.
    """
    axes, rotated = _losses(run, samples, draws)
    return labelled(
        run,
        axes_loss=((), axes, "predicted share of variance lost with the axes as latents"),
        rotation_excess=(
            (),
            rotated.mean() - axes,
            "loss of randomly rotated frames minus that of the axes, as a share of the variance",
        ),
        rotation_excess_sd=(
            (),
            rotated.std(ddof=1),
            "standard deviation of rotation_excess over rotations",
        ),
    )


def _losses(run: Run, samples: int, draws: int) -> tuple[float, Array]:
    """`frame_loss` of the axes and of `draws` rotations, over the codes' variance."""
    w, k = run.config.world, run.config.sae.k
    rng = numpy_generator("null", run.config.world_seed, 1)
    gate = rng.random((samples, w.n_blocks, 1)) < w.block_p
    codes = gate * generalised_normal(w.beta, (samples, w.n_blocks, w.rank), rng)
    codes = codes.reshape(samples, -1)
    turns = [block_diag(*haar(w.rank, rng, (w.n_blocks,))) for _ in range(draws)]
    scale = (codes**2).sum(axis=1).mean()
    axes = frame_loss(codes, np.eye(codes.shape[1]), k) / scale
    return axes, np.array([frame_loss(codes, turn, k) for turn in turns]) / scale
