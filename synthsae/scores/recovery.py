"""Recovery of the planted truth: the subspaces of blocks, and single features."""

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.arrays import Array
from synthsae.metrics import latent, planted
from synthsae.scores._chance import chance_mcc
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled


@requires("blocks")
def subspace_recovery(run: Run) -> xr.Dataset:
    """Overlap of the span of a block's latents with the block, and with that of other seeds."""
    chance = run.config.world.rank / run.d_model
    return labelled(
        run,
        subspace_overlap=(
            ("seed", "block"),
            run.per_block(lambda b: b.overlap),
            "overlap of the learned span with the block's subspace",
        ),
        subspace_overlap_chance=((), chance, "overlap of a random subspace of that rank"),
        cross_seed_overlap=(
            ("seed_a", "seed_b", "block"),
            run.per_block(lambda b: b.cross_seed_overlap, len(run.seeds)).swapaxes(1, 2),
            "overlap of two seeds' learned spans",
        ),
        cross_seed_overlap_chance=((), chance, "overlap of two random subspaces of that rank"),
        principal_angle=(
            ("seed", "block", "angle"),
            run.per_block(lambda b: b.angles, run.config.world.rank),
            "principal angles of the learned span to the block's subspace, ascending",
            "rad",
        ),
    )


@requires("planted")
def feature_recovery(run: Run) -> xr.Dataset:
    """Matched cosine of the planted features to live latents, and p_hat of their latents."""
    features, n = run.world.features, run.config.world.n_isolated
    theta = run.definitions.theta
    matched = np.zeros((len(run.seeds), len(features)))
    for s, live in enumerate(run.live):
        _, which, cosine = latent.match(run.directions[s, live], features)
        matched[s, which] = cosine
    found = planted.feature_reappearance(run.directions, features, run.p_hat, run.live, theta)
    in_blocks = matched[:, n:].reshape(len(run.seeds), *run.world.atoms.shape[:2])
    live_count = round(run.live.sum(axis=1).mean())
    chance = chance_mcc(run.d_model, live_count, len(features))
    chance *= min(live_count, len(features)) / max(1, len(features))  # unmatched ones count 0
    return labelled(
        run,
        isolated_reappearance=(
            ("seed",),
            _mean(found[:, :n]),
            "mean p_hat of the isolated features' latents, 0 where the feature was not found",
        ),
        isolated_reappearance_chance=(
            (),
            theory.chance_found(run.d_model, live_count, theta),
            "p_hat of a random direction at the mean live count",
        ),
        feature_mcc=(
            ("seed",),
            _mean(matched),
            "mean signed one-to-one cosine of the planted features to live latents",
        ),
        feature_mcc_chance=(
            (),
            chance,
            "the same with random latents at the mean live count",
        ),
        block_feature_mcc=(
            ("seed", "block"),
            _mean(in_blocks),
            "feature_mcc of the features inside each block (sparse law)",
        ),
        block_feature_mcc_chance=(
            (),
            chance if in_blocks.size else np.nan,
            "feature_mcc_chance, where blocks have features",
        ),
    )


def _mean(values: Array) -> Array:
    """Mean over the last axis, NaN where it is empty."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
