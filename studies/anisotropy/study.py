"""Do latents come back that are no features?

The code of a Gaussian block has no sparse axes. If all its variances are equal, no rotation changes
its law, and p_hat is on the coverage law. With unequal variances some directions reconstruct better
than others, so seeds may come to the same latents, though nothing is planted along these. Which
directions, and how often seeds share them, is computed before any training, from one-term codes of
the block (`theory.anisotropy`): one latent fires in a sample, and a block of rank R has 2R latents.
"""

import xarray as xr
from synthsae.studies.anisotropy.figure import gaps, stability_by_ratio
from synthsae.studies.anisotropy.scores import principal_axes

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding, rows
from synthsae.plot.worlds import SEEDS
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """p_hat at equal and at the most unequal variances of the largest rank, and its prediction."""
    axes = [d for d in ("rank", "spectrum", "n_steps", "theta") if d in ds.dims]
    table = rows(ds.sortby(axes), ("world_seed", *SEEDS), _row)
    last = table.query("n_steps == n_steps.max()") if "n_steps" in axes else table
    for axis, end in (("theta", "min"), ("rank", "max")):
        last = last[last[axis] == getattr(last[axis], end)()] if axis in axes else last
    return Finding(
        "Nothing is planted along single directions of these blocks, yet p_hat rises from {equal} "
        "at equal variances to {unequal} at the most unequal ones. The best codes, computed "
        "without training, give p_hat to within {gap} at every ratio and rank.",
        {
            "equal": last.p_hat.iloc[0],
            "unequal": last.p_hat.iloc[-1],
            "gap": float(gaps(ds).isel(theta=0).max()),
        },
        table,
    )


def _row(one: xr.Dataset) -> dict[str, float]:
    """Means over worlds, seeds and blocks of one setting."""
    return {
        "p_hat": one.block_reappearance.mean().item(),
        "predicted": one.reappearance_predicted.mean().item(),
        "rotated codes": one.coverage_prediction.mean().item(),
        "closeness": one.axis_closeness.mean().item(),
        "closeness predicted": one.axis_closeness_predicted.mean().item(),
        "angle": one.major_angle.mean().item(),
        "X": one.major_angle_predicted.mean().item(),
        "latents a block": one.latents_per_block.mean().item(),
    }


study = Study(
    question="Do latents come back that are no features?",
    base=Config(
        world=WorldConfig(
            d_model=32, n_isolated=0, n_blocks=4, rank=4, law="gaussian", block_p=0.15
        ),
        sae=SAEConfig(k=1),
        train=TrainConfig(batch_size=512, lr=0.01),
        n_seeds=6,
        eval_samples=4096,
    ),
    axes={
        "world.rank": (2, 4, 8),
        "world.spectrum": (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0),
        "train.n_steps": (150, 600),
        "world_seed": (0, 1),
        "definitions.theta": (0.7, 0.95),
    },
    follows={"sae.n_latents": lambda c: 2 * c.world.n_blocks * c.world.rank},
    scores=(
        principal_axes,
        scores.block_stability,
        scores.coverage_law,
        scores.subspace_recovery,
        scores.reconstruction,
    ),
    figure=stability_by_ratio,
    finding=finding,
    quick={
        "n_seeds": 3,
        "world.rank": (2, 4),
        "world.spectrum": (1.0, 5.0),
        "train.n_steps": 100,
        "world_seed": 0,
    },
    needs=(needs.one_law("gaussian"),),
)
