"""Measures of a trained cell, labelled: arrays in, xarray Datasets with units and long names out.

A measure is a function of a `Run`. A study names the measures it wants; their variables are merged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from synthsae import theory
from synthsae.config import Config
from synthsae.evaluate import Evaluation, evaluate
from synthsae.geometry import Array
from synthsae.metrics import latent, planted, reappearance, recovery
from synthsae.rng import numpy_generator
from synthsae.sae import SAEStack
from synthsae.train import train
from synthsae.world import World

INVARIANT_LAWS = ("isotropic", "gaussian")
"""Block laws that no rotation inside the block changes: the coverage law predicts their p_hat."""


@dataclass(frozen=True)
class Run:
    """One cell, trained: what its measures are computed from.

    Attributes:
        config: the cell's configuration.
        world: the planted truth.
        seeds: the seeds that stayed finite, [S]; all arrays are over these.
        frozen: the step at which each other seed stopped being finite.
        evaluation: what the SAEs do on held-out samples.
    """

    config: Config
    world: World
    seeds: tuple[int, ...]
    frozen: dict[int, int]
    evaluation: Evaluation

    @property
    def directions(self) -> Array:
        """Unit decoder rows, [S, M, D]."""
        return self.evaluation.directions

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Live latents, [S, M]."""
        return self.evaluation.live

    @cached_property
    def p_hat(self) -> Array:
        """Reappearance probability of every live latent, NaN for dead ones, [S, M]."""
        return reappearance.reappearance(self.directions, live=self.live)

    @cached_property
    def blocks(self) -> list[recovery.BlockRecovery]:
        """What became of each planted block."""
        return [
            recovery.block_recovery(self.directions, basis, self.live, self.p_hat)
            for basis in self.world.bases
        ]

    def per_block(self, values: Callable[[recovery.BlockRecovery], ArrayLike], *tail: int) -> Array:
        """`values` [S, *tail] of every block as one array [S, G, *tail]."""
        found = np.array([values(b) for b in self.blocks], dtype=float)
        return found.reshape(len(self.blocks), len(self.seeds), *tail).swapaxes(0, 1)

    def over_others(self, values: ArrayLike) -> Array:
        """Mean over the other seeds of one value [S, ...] a seed."""
        x = np.asarray(values, dtype=float)
        return (x.sum(axis=0) - x) / (len(x) - 1)


Measure = Callable[[Run], xr.Dataset]


def run_cell(config: Config, progress: Callable[[int], object] = lambda steps: None) -> Run:
    """Plant the world of `config`, train its seeds and evaluate them on held-out samples.

    Raises FloatingPointError where fewer than two seeds stayed finite.
    """
    world = World.plant(config.world, seed=config.world_seed)
    trained = train(world, config.sae, config.train, seeds=config.seeds, progress=progress)
    frozen = {config.seeds[i]: step for i, step in trained.frozen.items()}
    kept = [i for i, seed in enumerate(config.seeds) if seed not in frozen]
    if len(kept) < 2:
        raise FloatingPointError(f"loss not finite; by seed, the step: {frozen}")
    stack = trained.stack.select(kept)
    evaluation = evaluate(stack, world, config.eval_samples)
    return Run(config, world, stack.seeds, frozen, evaluation)


def block_stability(run: Run) -> xr.Dataset:
    """How often the latents of each block come back in another seed, beside chance."""
    chance = theory.chance_found(run.world.d_model, run.live.sum(axis=1))
    return _dataset(
        run,
        block_reappearance=(
            ("seed", "block"),
            run.per_block(lambda b: b.reappearance),
            "mean p_hat of a block's latents (many-to-one signed cosine >= 0.7)",
        ),
        block_reappearance_chance=(
            ("seed",),
            run.over_others(chance),
            "p_hat of a random direction at the same live counts",
        ),
        latents_per_block=(
            ("seed", "block"),
            run.per_block(lambda b: b.latents),
            "live latents with at least half of their energy in the block",
            "latents",
        ),
    )


def coverage_law(run: Run, draws: int = 64) -> xr.Dataset:
    """The p_hat that random rotations in the blocks give: a prediction or, elsewhere, a null."""
    world, m = run.config.world, run.per_block(lambda b: b.latents)
    rotated = [
        theory.coverage_monte_carlo(
            run.directions,
            run.live,
            block.members,
            basis,
            draws=draws,
            rng=numpy_generator("null", run.config.world_seed, g),
        )
        for g, (block, basis) in enumerate(zip(run.blocks, run.world.bases, strict=True))
    ]
    each = np.array(rotated).reshape(len(rotated), draws, len(run.seeds))  # [G, draws, S]
    lawful = rotated and world.law in INVARIANT_LAWS
    left = run.config.sae.for_width(world.d_model).size - world.n_isolated
    return _dataset(
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
            run.over_others(theory.coverage_closed(m, world.rank)),
            "min(1, m A_R) with the measured number m of latents",
        ),
        coverage_a_priori=(
            (),
            theory.coverage_a_priori(world.rank, max(0, left) / world.n_blocks)
            if lawful
            else np.nan,
            "min(1, m A_R), before training, assuming m = min(2R, latents left)",
        ),
    )


def subspace_recovery(run: Run) -> xr.Dataset:
    """Whether the span of a block's latents is the block's subspace, and the same across seeds."""
    chance = run.config.world.rank / run.world.d_model
    return _dataset(
        run,
        subspace_overlap=(
            ("seed", "block"),
            run.per_block(lambda b: b.overlap),
            "overlap of the learned span with the block's subspace",
        ),
        subspace_overlap_chance=((), chance, "overlap of a random subspace of that rank"),
        cross_seed_overlap=(
            ("seed_a", "block", "seed_b"),
            run.per_block(lambda b: b.cross_seed_overlap, len(run.seeds)),
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


def feature_recovery(run: Run) -> xr.Dataset:
    """Whether planted features are latents: cosine to the truth, and reappearance."""
    features, n = run.world.features, run.config.world.n_isolated
    matched = np.zeros((len(run.seeds), len(features)))
    for s, live in enumerate(run.live):
        _, which, cosine = latent.match(run.directions[s, live], features)
        matched[s, which] = cosine
    found = planted.feature_reappearance(run.directions, features, run.p_hat, run.live)
    in_blocks = matched[:, n:].reshape(len(run.seeds), *run.world.atoms.shape[:2])
    live_count = round(run.live.sum(axis=1).mean())
    return _dataset(
        run,
        isolated_reappearance=(
            ("seed",),
            _mean(found[:, :n]),
            "mean p_hat of the isolated features' latents, 0 where the feature was not found",
        ),
        isolated_reappearance_chance=(
            (),
            theory.chance_found(run.world.d_model, live_count),
            "p_hat of a random direction at the mean live count",
        ),
        feature_mcc=(
            ("seed",),
            _mean(matched),
            "mean signed one-to-one cosine of the planted features to live latents",
        ),
        feature_mcc_chance=(
            (),
            _chance_mcc(run.world.d_model, live_count, len(features)),
            "the same with random latents at the mean live count",
        ),
        block_feature_mcc=(
            ("seed", "block"),
            _mean(in_blocks),
            "feature_mcc of the features inside each block (sparse law)",
        ),
    )


def seed_agreement(run: Run) -> xr.Dataset:
    """How alike whole dictionaries of two seeds are, after training and before it."""
    live_count = round(run.live.sum(axis=1).mean())
    init = run.config.train.init_seeds(run.seeds)
    start = SAEStack.init(run.config.sae, run.world.d_model, init).directions()
    return _dataset(
        run,
        pairwise_mcc=(
            ("seed_a", "seed_b"),
            latent.pairwise_mcc(run.directions, run.live),
            "PW-MCC: mean signed one-to-one cosine of two seeds' live latents",
        ),
        pairwise_mcc_chance=(
            (),
            _chance_mcc(run.world.d_model, live_count, live_count),
            "PW-MCC of random directions at the mean live count",
        ),
        initial_reappearance=(
            ("seed",),
            reappearance.reappearance(start).mean(axis=1),
            "mean p_hat of all latents at step 0",
        ),
    )


def reconstruction(run: Run) -> xr.Dataset:
    """What the SAEs do on held-out samples."""
    return _dataset(
        run,
        explained_variance=(("seed",), run.evaluation.explained_variance, "explained variance"),
        l0=(("seed",), run.evaluation.rates.sum(axis=1), "active latents a sample", "latents"),
        dead_fraction=(
            ("seed",),
            1 - run.live.mean(axis=1),
            "share of latents that fire on fewer than 1e-4 of the samples",
        ),
    )


def _dataset(run: Run, **variables: tuple) -> xr.Dataset:
    """(dims, values, long name[, units]) of each variable, with the coordinates of the cell."""
    arrays = {
        name: xr.Variable(dims, np.asarray(values), {"long_name": text, "units": (*units, "1")[0]})
        for name, (dims, values, text, *units) in variables.items()
    }
    seeds = list(run.seeds)
    coords = {"seed": seeds, "seed_a": seeds, "seed_b": seeds}
    coords["block"] = list(range(len(run.blocks)))
    coords["angle"] = list(range(run.config.world.rank))
    used = {d for v in arrays.values() for d in v.dims}
    return xr.Dataset(arrays, {name: c for name, c in coords.items() if name in used})


def _mean(values: Array) -> Array:
    """Mean over the last axis, NaN where it is empty."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)


def _chance_mcc(d: int, latents: int, features: int) -> float:
    """Mean matched cosine of random directions, NaN where one side is empty."""
    if min(latents, features) == 0:
        return float("nan")
    return theory.chance_matched_cosine(d, latents, features)
