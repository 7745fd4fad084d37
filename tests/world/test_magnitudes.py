"""What fires, feature by feature, is what the batch is the sum of."""

import numpy as np
import pytest
from laws import both_ways

from synthsae.world import PRESETS, World, WorldConfig

pytestmark = both_ways

WORLDS = {
    "isolated": WorldConfig(d_model=16, n_isolated=40, n_blocks=0, isolated_p=0.1, bias=0.3),
    "sparse": WorldConfig(d_model=16, n_isolated=6, n_blocks=2, rank=3, law="sparse", n_atoms=5),
    "benchmark": PRESETS["synthsaebench_1k"],
    "groups": WorldConfig(
        d_model=16, n_isolated=40, n_blocks=0, correlation=0.9, correlation_groups=5
    ),
}


@pytest.mark.parametrize("config", WORLDS.values(), ids=WORLDS)
def test_a_batch_is_the_sum_of_its_magnitudes(config):
    world = World.plant(config, seed=3)
    for t in range(2):
        value = world.magnitudes(t, 300, seed=5, stream="eval").numpy()
        x = world.batch(t, 300, seed=5, stream="eval").numpy()
        assert value.shape == (300, len(world.features))
        assert (value >= 0).all()
        assert (value > 0).any()
        np.testing.assert_allclose(value @ world.features + world.bias, x, atol=2e-4)


def test_the_rest_is_in_the_blocks_and_circles():
    config = WorldConfig(d_model=24, n_isolated=8, n_blocks=2, rank=4, n_circles=1)
    world = World.plant(config, seed=0)
    x = world.batch(0, 500, seed=0).numpy()
    rest = x - world.magnitudes(0, 500, seed=0).numpy() @ world.isolated
    axes = np.concatenate([*world.bases, *world.planes], axis=1)
    assert np.abs(rest).max() > 0.5
    np.testing.assert_allclose(rest @ axes @ axes.T, rest, atol=1e-5)
