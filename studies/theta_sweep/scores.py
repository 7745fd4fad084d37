"""The coverage laws before training, at the threshold of the cell."""

import xarray as xr

from synthsae import theory
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled


@requires("blocks")
def laws_before_training(run: Run) -> xr.Dataset:
    """p_hat of a block latent if the code of a block is 2R orthogonal +- atoms, turned at random.

    Exact (`theory.coverage_cross_polytope`), and as if caps never overlapped
    (`theory.coverage_closed`).
    """
    rank, theta = run.config.world.rank, run.definitions.theta
    return labelled(
        run,
        law_exact=(
            (),
            theory.coverage_cross_polytope(rank, theta),
            "p_hat of 2R orthogonal +- atoms, turned at random",
        ),
        law_disjoint=(
            (),
            theory.coverage_closed(2 * rank, rank, theta),
            "min(1, 2R A_R): the same as if caps did not overlap",
        ),
    )
