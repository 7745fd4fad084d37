"""How often latents come back in another seed: by block, by prediction, over dictionaries."""

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.definitions import part
from synthsae.metrics import latent, reappearance
from synthsae.rng import numpy_generator
from synthsae.sae import SAEStack
from synthsae.scores._chance import chance_mcc
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled, lawful, over_others


@requires("blocks")
def block_stability(run: Run) -> xr.Dataset:
    """Mean p_hat of the latents of each block, and its chance level."""
    theta, half = run.definitions.theta, part(run.definitions.member)
    chance = theory.chance_found(run.d_model, run.live.sum(axis=1), theta)
    return labelled(
        run,
        block_reappearance=(
            ("seed", "block"),
            run.per_block(lambda b: b.reappearance),
            f"mean p_hat of a block's latents (many-to-one signed cosine >= {theta:g})",
        ),
        block_reappearance_chance=(
            ("seed",),
            over_others(chance),
            "p_hat of a random direction at the same live counts",
        ),
        latents_per_block=(
            ("seed", "block"),
            run.per_block(lambda b: b.latents),
            f"live latents with at least {half} of their energy in the block",
            "latents",
        ),
    )


@requires("blocks")
def coverage_law(run: Run, draws: int = 64) -> xr.Dataset:
    """p_hat of the measured codes if each block is rotated at random (Haar), and closed forms.

    A prediction of p_hat where the coverage law holds (`run.lawful`), and a null elsewhere.
    """
    world, m = run.config.world, run.per_block(lambda b: b.latents)
    theta = run.definitions.theta
    rotated = [
        theory.coverage_monte_carlo(
            run.directions,
            run.live,
            block.members,
            basis,
            theta,
            draws=draws,
            rng=numpy_generator("null", run.config.world_seed, g),
        )
        for g, (block, basis) in enumerate(zip(run.blocks, run.bases, strict=True))
    ]
    each = np.array(rotated).reshape(len(rotated), draws, len(run.seeds))  # [G, draws, S]
    left = run.config.sae.for_width(world.d_model).size - world.n_isolated
    return labelled(
        run,
        coverage_prediction=(
            ("seed", "block"),
            each.mean(axis=1).T,
            "p_hat of the measured codes under Haar rotations of each block (Monte Carlo)",
        ),
        coverage_prediction_sd=(
            (),
            np.nanmean(each, axis=(0, 2)).std(ddof=1) if np.isfinite(each).any() else np.nan,
            "standard deviation over Haar rotations of the cell's mean p_hat",
        ),
        coverage_closed_form=(
            ("seed", "block"),
            over_others(theory.coverage_closed(m, world.rank, theta)),
            "min(1, m A_R) with the measured number m of latents",
        ),
        coverage_a_priori=(
            (),
            theory.coverage_a_priori(world.rank, max(0, left) / world.n_blocks, theta)
            if lawful(run.config)
            else np.nan,
            "min(1, m A_R), before training, assuming m = min(2R, latents left)",
        ),
    )


def seed_agreement(run: Run) -> xr.Dataset:
    """PW-MCC of live latents for every pair of seeds, its chance level, and p_hat at step 0."""
    live_count = round(run.live.sum(axis=1).mean())
    return labelled(
        run,
        pairwise_mcc=(
            ("seed_a", "seed_b"),
            latent.pairwise_mcc(run.directions, run.live),
            "PW-MCC: mean signed one-to-one cosine of two seeds' live latents",
        ),
        pairwise_mcc_chance=(
            (),
            chance_mcc(run.d_model, live_count, live_count),
            "PW-MCC of random directions at the mean live count",
        ),
    ).merge(initial_agreement(run))


def initial_agreement(run: Run) -> xr.Dataset:
    """Mean p_hat of all latents at step 0; above chance if seeds share their initial weights."""
    init = run.config.train.init_seeds(run.seeds)
    start = SAEStack.init(run.config.sae, run.d_model, init).directions()
    return labelled(
        run,
        initial_reappearance=(
            ("seed",),
            reappearance.reappearance(start, run.definitions.theta).mean(axis=1),
            "mean p_hat of all latents at step 0",
        ),
    )
