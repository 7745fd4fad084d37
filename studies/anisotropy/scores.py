"""How often latents should come back, and how close to principal axes, before any training."""

from functools import lru_cache

import numpy as np
import xarray as xr

from synthsae.arrays import Array
from synthsae.metrics import latent
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.theory.anisotropy import axis_closeness, best_cross, one_term_atoms

STARTS = 8
"""Random starts of the predicted codes."""
SAMPLES, ROUNDS = 10_000, 200


@requires("blocks", "separate blocks")
def principal_axes(run: Run) -> xr.Dataset:
    """Of the latents in a block: cosine with the nearest principal axis, angle to the major one.

    Beside both what the best one-term codes of the block have (`theory.anisotropy`), whose p_hat is
    the share of their atoms that another start has.
    """
    shape = len(run.seeds), len(run.blocks)
    close, angle = np.full((2, *shape), np.nan)
    for g, (block, basis) in enumerate(zip(run.blocks, run.bases, strict=True)):
        for s, inside in enumerate(block.members & run.live):
            if inside.any():
                inner = run.directions[s, inside] @ basis
                inner /= np.linalg.norm(inner, axis=1, keepdims=True)
                close[s, g] = axis_closeness(inner).mean()
                angle[s, g] = np.degrees(np.median(np.arccos(np.abs(inner[:, 0]))))
    world = run.config.world
    best = predicted_atoms(tuple(world.block_variances()), 2 * world.rank)
    p = latent.reappearance(best, run.definitions.theta).mean()
    x = best_cross(*world.block_variances()).angle if world.rank == 2 else np.nan
    each = ("seed", "block")
    return labelled(
        run,
        axis_closeness=(each, close, "mean cosine of a latent with the nearest principal axis"),
        major_angle=(each, angle, "median angle of latents to the major axis", "degrees"),
        axis_closeness_predicted=((), axis_closeness(best).mean(), "that of the best codes"),
        reappearance_predicted=((), p, "p_hat among the best codes of random starts"),
        major_angle_predicted=((), np.degrees(x), "angle of the best X; NaN but at rank 2"),
    )


@lru_cache
def predicted_atoms(variances: tuple[float, ...], m: int) -> Array:
    """One-term codes from `STARTS` random starts, [STARTS, m, R]."""
    made = (one_term_atoms(variances, m, s, SAMPLES, ROUNDS) for s in range(STARTS))
    return np.stack(list(made))
