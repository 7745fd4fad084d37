"""Which block a latent belongs to where blocks overlap, and what the scores of blocks say then."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthsae import scores
from synthsae.checks import ConfigError
from synthsae.config import Config, override
from synthsae.evaluation import Evaluation
from synthsae.geometry import haar, unit
from synthsae.metrics import recovery, subspace
from synthsae.scores.run import Run, lawful
from synthsae.world import World


def learned(angle: float, rank: int, blocks: int, seed: int) -> Run:
    """Three SAEs that learned a cross-polytope in each block, turned at random, and nothing else.

    Latents [block, 2 rank] in order.
    """
    fields = {"d_model": blocks * rank + 1, "n_isolated": 1, "n_blocks": blocks, "rank": rank}
    changes = {f"world.{k}": v for k, v in fields.items()} | {"world.block_angle": angle}
    config = override(Config(), changes | {"n_seeds": 3, "sae.k": 1, "world_seed": seed})
    world, rng = World.plant(config.world, seed=seed), np.random.default_rng(seed)
    d = []
    for _ in range(3):
        turned = [haar(rank, rng) @ u.T for u in world.bases]
        d.append(np.concatenate([np.concatenate([t, -t]) for t in turned]))
    x = np.array(d)
    return Run(config, world, (0, 1, 2), {}, Evaluation(x, np.ones(x.shape[:2]), np.ones(3)))


@given(st.floats(3, 90), st.integers(1, 4), st.integers(2, 4), st.integers(0, 99))
def test_what_was_learned_inside_a_block_is_recovered_at_every_angle(angle, rank, blocks, seed):
    run = learned(angle, rank, blocks, seed)
    for g, block in enumerate(run.blocks):
        own = np.arange(blocks * 2 * rank) // (2 * rank) == g
        np.testing.assert_array_equal(block.members, np.tile(own, (3, 1)))
        np.testing.assert_allclose(block.angles, 0, atol=1e-6)
        np.testing.assert_allclose(block.overlap, 1)
    nearest = subspace.nearest(5 * run.directions, run.bases)
    np.testing.assert_array_equal(nearest, np.tile(np.arange(blocks).repeat(2 * rank), (3, 1)))


@pytest.mark.parametrize(("angle", "both"), [(44.9, True), (45.1, False)])
def test_a_latent_of_one_block_is_a_member_of_the_other_up_to_45_degrees(angle, both):
    run = learned(angle, 3, 2, 0)
    first = run.directions[:, :6]
    np.testing.assert_allclose(
        subspace.block_energy(first, run.bases[1]), np.cos(np.radians(angle)) ** 2
    )
    assert (subspace.members(first, run.bases[1]) == both).all()
    mixed = recovery.block_recovery(run.directions, run.bases[0])  # the other block's latents too
    between = np.degrees(mixed.angles).max()
    assert between == pytest.approx(angle / 2 if both else 0, abs=1e-5)


def test_a_latent_between_two_blocks_belongs_to_the_nearer_one():
    run = learned(60.0, 2, 2, 1)
    a, b = run.bases[0][:, 0], run.bases[1][:, 0]
    for towards, g in ((0.6, 0), (0.4, 1)):
        d = unit(towards * a + (1 - towards) * b)
        assert all(subspace.members(d[None], u).all() for u in run.bases)
        assert subspace.nearest(d[None], run.bases).tolist() == [g]


def test_latents_of_overlapping_blocks_are_counted_once():
    run = learned(30.0, 3, 4, 2)
    assert (scores.block_stability(run).latents_per_block == 6).all()
    assert (scores.latent_kinds(run).block_latents == 24).all()


def test_no_block_is_nearest_among_none():
    with pytest.raises(ConfigError) as error:
        subspace.nearest(np.eye(3), np.zeros((0, 3, 2)))
    assert error.value.field == "bases's subspaces"


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"block_angle": 60.0}, False),
        ({"blocks_per_gate": 2}, False),
        ({"blocks_per_gate": 2, "law": "gaussian"}, False),
        ({"blocks_per_gate": 2, "law": "generalised_normal", "beta": 2.0}, False),
        ({"law": "generalised_normal", "beta": 2.0}, True),
    ],
)
def test_where_the_coverage_law_is_claimed(changes, holds):
    config = override(Config(), {f"world.{k}": v for k, v in changes.items()})
    assert lawful(config) == holds
