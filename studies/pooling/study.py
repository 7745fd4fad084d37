"""When does pooling seeds find features, and when does it only cover a subspace?

Gerasimov et al. (arXiv 2606.12138) pool latents of several seeds into an SAE that is more stable at
the same explained variance. Their recipe is not published in detail; ours is `synthsae.pool`, then
`train.refit`: near-duplicates dropped, new encoders under a fixed decoder, the same k. Pools of
disjoint seeds judge each other, beside what else the training buys (`pools`).

What a seed has by chance p is in a union of N by 1 - (1 - p)^N. That finds a rare feature that
seeds miss by chance; in a block that no seed can identify it covers a sphere. The world has both.
"""

from dataclasses import replace

from synthsae.studies.pooling.figure import finds_or_covers, pools_by_size
from synthsae.studies.pooling.finding import finding
from synthsae.studies.pooling.scores import pools
from synthsae.studies.pooling.unions import unions, unions_of_blocks, unions_of_features

from synthsae import scores
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

RARE = WorldConfig(zipf=1.0, isolated_p_max=0.2, isolated_p_min=0.004)
study = Study(
    question="When does pooling seeds find features, and when does it only cover a subspace?",
    base=Config(
        world=replace(RARE, d_model=40, n_isolated=20, n_blocks=2, rank=8, block_p=0.3),
        sae=SAEConfig(n_latents=48),
        train=TrainConfig(n_steps=200, batch_size=256, lr=0.02),
        n_seeds=32,
        eval_samples=8192,
    ),
    axes={"world.rank": (2, 4, 8), "world_seed": (0, 1, 2)},
    scores=(unions, unions_of_blocks, unions_of_features, pools, scores.block_stability),
    figure=finds_or_covers,
    supplement=pools_by_size,
    finding=finding,
    quick={"n_seeds": 8, "train.n_steps": 60, "world.rank": (2, 8), "world_seed": (0,)},
    needs=(needs.where_planted(needs.blocks), needs.where_planted(needs.isolated)),
)
