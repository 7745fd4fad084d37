"""A whole small run: plant, train, look. Every number in it follows from seeds."""

from dataclasses import replace

import numpy as np
import pytest

from synthsae.evaluation import evaluate
from synthsae.metrics import latent, planted, recovery
from synthsae.sae import SAEConfig
from synthsae.theory.coverage import coverage_monte_carlo
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

WORLD = WorldConfig(d_model=32, n_isolated=10, isolated_p=0.1, n_blocks=2, rank=4, block_p=0.25)
SAE = SAEConfig(n_latents=48, k=4)
TRAIN = TrainConfig(n_steps=500, batch_size=128, lr=0.01, group_size=3)


@pytest.mark.parametrize("law", ["isotropic", "sparse"])
def test_isolated_features_and_subspaces_return_and_isotropic_latents_follow_the_law(law):
    world = World.plant(replace(WORLD, law=law), seed=0)
    trained = train(world, SAE, TRAIN, seeds=[0, 1, 2])
    assert trained.frozen == {}
    got = evaluate(trained.stack, world, 8192)
    d, live = got.directions, got.live()
    p_hat = latent.reappearance(d, live=live)
    for s in range(3):
        assert latent.mcc(d[s, live[s]], world.isolated) >= 0.99
    assert (planted.feature_reappearance(d, world.isolated, p_hat, live) == 1).all()
    assert (got.explained_variance > 0.95).all()

    blocks = [recovery.block_recovery(d, u, live, p_hat) for u in world.bases]
    assert all((block.overlap >= 0.95).all() for block in blocks)
    stability = np.mean([block.reappearance.mean() for block in blocks])
    rotated = np.mean(
        [
            coverage_monte_carlo(d, live, block.members, u, draws=100).mean(axis=1)
            for block, u in zip(blocks, world.bases, strict=True)
        ],
        axis=0,
    )
    if law == "isotropic":  # as if each seed's code were turned at random
        assert all((block.latents >= 8).all() for block in blocks)
        assert abs(stability - rotated.mean()) <= 3 * rotated.std()
    else:  # the atoms themselves
        assert stability >= 0.9
        assert stability > rotated.mean() + 3 * rotated.std()
        for s in range(3):
            assert latent.mcc(d[s, live[s]], world.features) >= 0.99
