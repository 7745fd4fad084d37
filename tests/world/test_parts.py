"""Ranges, magnitudes, bias, circles and incoherence, each against its definition."""

import numpy as np
import pytest
from laws import N, both_ways, count_is, draw, fired, follows, mean_is
from scipy.stats import foldnorm, norm, truncexpon, truncnorm, uniform

from synthsae.geometry import tight_frame
from synthsae.world import LAWS, MAGNITUDES, World, WorldConfig
from synthsae.world.planted import spread

pytestmark = both_ways

CIRCLE = {"n_isolated": 0, "n_blocks": 0, "d_model": 5, "n_circles": 2, "magnitude": "constant"}


def test_a_range_of_firing_probabilities_is_an_affine_image_of_zipf():
    fields = {"isolated_p_max": 0.4, "isolated_p_min": 5e-4, "zipf": 0.5}
    p = WorldConfig(n_isolated=1000, **fields).firing_probabilities()
    assert (p[0], p[-1]) == pytest.approx((0.4, 5e-4))
    weight = np.arange(1, 1001) ** -0.5
    slope, intercept = np.polyfit(weight, p, 1)
    np.testing.assert_allclose(p, intercept + slope * weight, atol=1e-12)
    assert WorldConfig(n_isolated=1, **fields).firing_probabilities() == pytest.approx([0.4])
    _, value = fired(n_isolated=4, **fields)
    for i, q in enumerate(WorldConfig(n_isolated=4, **fields).firing_probabilities()):
        assert count_is((value[:, i] > 0).sum(), N, q)


def test_normal_magnitudes_have_a_mean_and_a_standard_deviation_of_each_feature():
    scales = {"scale_first": 5, "scale_last": 3, "magnitude_sd": 0.3, "magnitude_sd_spread": 0.2}
    world, value = fired(n_isolated=3, isolated_p=0.5, magnitude="normal", **scales)
    assert len(set(world.magnitude_sd)) == 3
    for v, mean, sd in zip(value.T, (5, 4, 3), world.magnitude_sd, strict=True):
        assert follows(v[v > 0], norm(mean, sd))
    many = WorldConfig(n_isolated=2000, magnitude="normal", **scales)
    sd = World.plant(many, seed=0).magnitude_sd
    assert sd.min() >= 0
    assert follows(sd, foldnorm(1.5, scale=0.2))


def test_a_normal_magnitude_is_never_negative():
    fields = {"magnitude": "normal", "magnitude_sd": 1, "isolated_p": 1}
    _, value = fired(n_isolated=1, **fields)
    assert value.min() == 0
    assert count_is((value == 0).sum(), N, norm.cdf(-1))
    assert follows(value[value > 0], truncnorm(-1, np.inf, loc=1))


@pytest.mark.parametrize("name", MAGNITUDES)
def test_scales_are_linear_in_the_index(name):
    fields = {"isolated_p": 1, "magnitude": name, "scale_first": 2, "scale_last": 6}
    _, value = fired(n_isolated=3, **fields)
    assert mean_is((value / [2, 4, 6]) ** 2, 1)


@pytest.mark.parametrize("law", LAWS)
def test_block_scale_multiplies_codes(law):
    fields = {"d_model": 6, "n_isolated": 0, "n_blocks": 1, "rank": 3, "law": law, "n_circles": 1}
    _, x = draw(64, **fields)
    _, y = draw(64, **fields, block_scale=3)
    np.testing.assert_allclose(y, 3 * x, rtol=1e-5, atol=1e-6)
    assert np.abs(x).max() > 0.1


def test_bias_is_a_constant_beside_the_blocks():
    fields = {"d_model": 12, "n_blocks": 2, "rank": 3, "n_circles": 1}
    world, x = draw(10, bias=0.7, n_isolated=2, isolated_p=0, block_p=0, circle_p=0, **fields)
    np.testing.assert_allclose(x, np.tile(world.bias, (10, 1)), atol=1e-7)
    assert np.linalg.norm(world.bias) == pytest.approx(0.7)
    other = World.plant(world.config, seed=1)
    assert np.abs(other.bias - world.bias).max() > 0.05
    for basis in (*world.bases, *world.planes):
        np.testing.assert_allclose(world.bias @ basis, 0, atol=1e-12)


def test_a_circle_is_a_phase_in_its_plane():
    world, x = draw(circle_p=0.3, **CIRCLE)
    on = []
    for plane in world.planes:
        point = x @ plane
        radius = np.linalg.norm(point, axis=1)
        on.append(radius > 0.5)
        np.testing.assert_allclose(radius[on[-1]], 1, rtol=1e-5)
        assert count_is(on[-1].sum(), N, 0.3)
        phase = np.arctan2(point[on[-1], 1], point[on[-1], 0])
        assert follows(phase, uniform(-np.pi, 2 * np.pi))
    assert count_is((on[0] & on[1]).sum(), N, 0.09)


def test_an_arc_covers_its_share_of_the_circle():
    world, x = draw(circle_p=1, circle_arc=0.25, **CIRCLE)
    for plane in world.planes:
        phase = np.arctan2(x @ plane[:, 1], x @ plane[:, 0])
        assert follows(phase, uniform(0, np.pi / 2))


@pytest.mark.parametrize("arc", [0.25, 1.0])
@pytest.mark.parametrize("density", [1.5, 20.0, 1e5])
def test_phases_have_the_stated_density(arc, density):
    """Exponential in the phase, from `density` times as dense at the start as at the end."""
    world, x = draw(circle_p=1, circle_arc=arc, circle_density=density, **CIRCLE)
    turn = 2 * np.pi
    law = truncexpon(np.log(density), scale=turn * arc / np.log(density))
    assert law.pdf(0) / law.pdf(turn * arc) == pytest.approx(density)
    for plane in world.planes:
        phase = np.arctan2(x @ plane[:, 1], x @ plane[:, 0]) % turn
        phase[phase > turn - 1e-5] = 0  # rounding
        assert follows(phase, law)


def test_a_circle_has_the_law_of_an_isotropic_block_of_rank_two():
    shared = {"d_model": 4, "n_isolated": 0, "rank": 2, "magnitude": "exponential"}
    world, x = draw(**shared, n_blocks=1, block_p=1, n_circles=1, circle_p=1)
    for basis in (world.bases[0], world.planes[0]):
        code = x @ basis
        radius = np.linalg.norm(code, axis=1)
        assert mean_is(radius**2, 1)
        assert mean_is(code[:, :, None] * code[:, None], np.eye(2) / 2)
        assert mean_is((code / radius[:, None]) ** 4, 3 / 8)


def cosines(w):
    return np.abs(w @ w.T)[np.triu_indices(len(w), 1)]


def test_orthogonalisation_steps_spread_random_directions():
    n, d = 64, 32
    ws = [spread(n, d, steps, np.random.default_rng(0)) for steps in (0, 1, 2, 4, 40)]
    for w in ws:
        np.testing.assert_allclose(np.linalg.norm(w, axis=1), np.ones(n))
    potential = [np.sum(cosines(w) ** 2) for w in ws]
    assert potential == sorted(potential, reverse=True)
    assert potential[0] / len(cosines(ws[0])) == pytest.approx(1 / d, rel=0.1)  # independent
    assert cosines(ws[-1]).max() < 0.9 * cosines(ws[0]).max()
    assert potential[-1] == pytest.approx((n * n / d - n) / 2)  # a tight frame
    at_once = spread(n, d, None, np.random.default_rng(0))
    np.testing.assert_array_equal(at_once, tight_frame(n, d, np.random.default_rng(0)))
    square = spread(8, 8, 60, np.random.default_rng(0))
    np.testing.assert_allclose(square @ square.T, np.eye(8), atol=1e-9)


def test_a_world_is_planted_with_the_steps_that_are_asked_for():
    fields = {"n_isolated": 40, "d_model": 16, "n_blocks": 0}
    far, near = (
        World.plant(WorldConfig(**fields, incoherence_steps=s), seed=0).isolated for s in (0, 6)
    )
    assert cosines(near).max() < cosines(far).max()
