"""Blocks that overlap by an angle, and blocks that share a gate."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from laws import N, both_ways, count_is, draw, mean_is

from synthsae.checks import ConfigError
from synthsae.config import Config
from synthsae.config.config import digest
from synthsae.world import LAWS, PRESETS, World, WorldConfig

OLD = {
    "song_toy": ("458f7bfbab447d1a", -2.5018323),
    "synthsaebench_1k": ("e72e448c808fdf3f", 82.425345),
    "gerasimov_like": ("7b8d5b5530ae80b2", 8.0849104),
}
"""Hash of the config and sum of eight samples of world 2, before blocks could be joined."""


@pytest.mark.parametrize("name", OLD)
def test_presets_keep_their_hashes_and_their_samples(name):
    hashed, total = OLD[name]
    assert digest(Config(world=PRESETS[name]).hashed) == hashed
    x = World.plant(PRESETS[name], seed=2).batch(3, 8, seed=5)
    assert float(x.double().sum()) == pytest.approx(total, rel=1e-5)


@given(
    st.integers(2, 5),
    st.integers(1, 4),
    st.floats(0.01, 90),
    st.sampled_from(LAWS),
    st.booleans(),
    st.integers(0, 99),
)
def test_pairs_of_blocks_meet_at_the_angle_and_others_are_orthogonal(
    blocks, rank, angle, law, leaning, seed
):
    config = WorldConfig(
        d_model=blocks * rank + 3,
        n_isolated=2,
        n_blocks=blocks,
        rank=rank,
        law=law,
        block_angle=angle,
        leaning=leaning,
        n_circles=1,
        bias=0.5,
    )
    world = World.plant(config, seed=seed)
    for g, u in enumerate(world.bases):
        np.testing.assert_allclose(u.T @ u, np.eye(rank), atol=1e-12)
        np.testing.assert_allclose(u.T @ world.planes[0], 0, atol=1e-12)
        if not leaning:
            beside = np.vstack([world.isolated, world.bias])
            np.testing.assert_allclose(beside @ u, 0, atol=1e-12)
        np.testing.assert_allclose(world.atoms[g] @ u @ u.T, world.atoms[g], atol=1e-12)
        for h in range(g):
            paired = g % 2 == 1 and h == g - 1
            want = np.full(rank, angle if paired else 90.0)
            found = np.degrees(scipy.linalg.subspace_angles(u, world.bases[h]))
            np.testing.assert_allclose(found, want, atol=1e-6)
            np.testing.assert_allclose(  # axis by axis
                u.T @ world.bases[h], np.diag(np.cos(np.radians(want))), atol=1e-12
            )


def test_an_angle_turns_the_second_of_a_pair_alone():
    fields = {"d_model": 20, "n_isolated": 3, "n_blocks": 3, "rank": 3}
    flat, leant = (World.plant(WorldConfig(**fields, block_angle=a), seed=0) for a in (90.0, 35.0))
    for kept in (0, 2):
        np.testing.assert_array_equal(leant.bases[kept], flat.bases[kept])
    np.testing.assert_array_equal(leant.isolated, flat.isolated)


@both_ways
def test_overlapping_blocks_have_codes_and_gates_of_their_own():
    world, x = draw(
        d_model=4, n_isolated=0, n_blocks=2, rank=2, law="gaussian", block_angle=50, block_p=0.5
    )
    both = np.hstack(list(world.bases))
    code = x @ np.linalg.pinv(both).T  # the bases together span R^4
    fired = [np.abs(code[:, at]).max(axis=1) > 1e-4 for at in (slice(0, 2), slice(2, 4))]
    for one in fired:
        assert count_is(one.sum(), N, 0.5)
    assert count_is((fired[0] & fired[1]).sum(), N, 0.25)
    assert mean_is(code[:, :, None] * code[:, None], 0.5 * np.eye(4))


GROUPS = {"d_model": 17, "n_isolated": 3, "isolated_p": 0.3, "n_blocks": 6, "rank": 2}
GROUPS |= {"blocks_per_gate": 3, "block_p": 0.3, "n_circles": 1, "circle_p": 0.4}


@both_ways
@pytest.mark.parametrize("law", ["isotropic", "gaussian", "generalised_normal"])
def test_blocks_of_a_gate_fire_together_and_exactly(law):
    world, x = draw(law=law, magnitude="constant", **GROUPS)
    code = np.einsum("bd,gdr->bgr", x, world.bases)
    fired = np.abs(code).max(axis=2) > 1e-4
    for first in (0, 3):
        np.testing.assert_array_equal(fired[:, first], fired[:, first + 1])
        np.testing.assert_array_equal(fired[:, first], fired[:, first + 2])
        assert count_is(fired[:, first].sum(), N, 0.3)
    assert count_is((fired[:, 0] & fired[:, 3]).sum(), N, 0.09)
    circle = np.linalg.norm(x @ world.planes[0], axis=1) > 1e-4
    assert count_is(circle.sum(), N, 0.4)
    isolated = x @ world.isolated.T > 1e-4
    assert count_is((isolated[:, 0] & fired[:, 0]).sum(), N, 0.09)
    assert count_is((circle & fired[:, 3]).sum(), N, 0.12)


@both_ways
@pytest.mark.parametrize("law", ["isotropic", "gaussian"])
def test_blocks_of_a_gate_have_codes_of_their_own(law):
    """Uncorrelated directions, and radii whose squares are uncorrelated too."""
    world, x = draw(
        d_model=5, n_isolated=0, n_blocks=2, rank=2, law=law, blocks_per_gate=2, block_p=1,
        block_scale=2.0, magnitude="exponential",
    )  # fmt: skip
    a, b = x @ world.bases[0], x @ world.bases[1]
    assert mean_is(a[:, :, None] * b[:, None], 0)
    r, s = np.sum(a**2, axis=1), np.sum(b**2, axis=1)
    want = 4.0 if law == "isotropic" else 8.0
    assert mean_is(r, want)
    assert mean_is(s, want)
    assert mean_is(r * s, want**2)


def test_one_block_a_gate_draws_what_independent_blocks_draw():
    one = World.plant(WorldConfig(d_model=12, n_isolated=2, n_blocks=2, rank=3), seed=1)
    explicit = WorldConfig(d_model=12, n_isolated=2, n_blocks=2, rank=3, blocks_per_gate=1)
    assert World.plant(explicit, seed=1).batch(0, 9, seed=4).equal(one.batch(0, 9, seed=4))


@pytest.mark.parametrize(
    ("fields", "name", "allowed"),
    [
        ({"block_angle": 0.0}, "block_angle", "above 0, at most 90"),
        ({"block_angle": 91.0}, "block_angle", "above 0, at most 90"),
        ({"block_angle": 60.0, "n_blocks": 1}, "block_angle", "90 where world.n_blocks is below 2"),
        ({"block_angle": 60.0, "n_blocks": 0}, "block_angle", "90 where world.n_blocks is below 2"),
        ({"blocks_per_gate": 0}, "blocks_per_gate", "1 or more"),
        ({"blocks_per_gate": 3}, "blocks_per_gate", "a number that divides world.n_blocks 4"),
        ({"blocks_per_gate": 8}, "blocks_per_gate", "a number that divides world.n_blocks 4"),
        *(
            (
                {"blocks_per_gate": 2} | other,
                "blocks_per_gate",
                "1 where world.law is sparse, and where world.n_blocks is 0",
            )
            for other in ({"law": "sparse"}, {"n_blocks": 0})
        ),
        ({"circle_density": 0.5}, "circle_density", "1 or more, at most 1e+06"),
        ({"circle_density": 1e7}, "circle_density", "1 or more, at most 1e+06"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, name, allowed):
    with pytest.raises(ConfigError) as error:
        WorldConfig(**fields)
    assert (error.value.field, error.value.allowed) == (f"world.{name}", allowed)
