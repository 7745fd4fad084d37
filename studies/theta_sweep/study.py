"""Does the coverage law hold at every threshold, and not only at a cosine of .7?

Reappearance depends on what counts as found again. With 2R orthogonal +- latents in a block of
rank R, the law gives p_hat before training, as a function of the threshold
(`theory.coverage_cross_polytope`). Below a cosine of 1 / sqrt 2 caps overlap, and 2R times the cap
measure is only an upper bound.
"""

import pandas as pd
import xarray as xr
from synthsae.studies.theta_sweep.figure import every_rank, gaps, stability_by_theta
from synthsae.studies.theta_sweep.scores import laws_before_training

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """How far p_hat is from either law at most, over thresholds and ranks."""
    exact, disjoint = gaps(ds, "law_exact"), gaps(ds, "law_disjoint")
    table = pd.DataFrame(
        {
            "rank": exact["rank"].values,
            "gap to the exact law": exact.max("theta").values,
            "gap to 2R x cap": disjoint.max("theta").values,
        }
    )
    return Finding(
        "At every threshold and rank p_hat is within {exact} of the exact law of orthogonal "
        "latents, which needs no training, and within {disjoint} of 2R times the cap measure.",
        {"exact": exact.max().item(), "disjoint": disjoint.max().item()},
        table,
    )


study = Study(
    question="Does the coverage law hold at every threshold of being found again?",
    base=Config(
        world=WorldConfig(n_isolated=16),
        train=TrainConfig(n_steps=400, batch_size=1024, lr=0.01),
        eval_samples=8192,
    ),
    axes={
        "world.rank": (3, 4, 6, 8, 12, 16),
        "world_seed": (0, 1),
        "definitions.theta": (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    },
    scores=(laws_before_training, scores.block_stability, scores.reconstruction),
    figure=stability_by_theta,
    supplement=every_rank,
    finding=finding,
    quick={
        "n_seeds": 4,
        "train.n_steps": 100,
        "world.rank": (4, 8),
        "world_seed": 0,
        "definitions.theta": (0.5, 0.7, 0.9),
        "eval_samples": 2048,
    },
    needs=(needs.one_law("isotropic"),),
)
