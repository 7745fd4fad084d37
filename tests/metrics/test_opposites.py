"""Opposite latents against their definition."""

import numpy as np

from synthsae.metrics.opposites import opposite_found


def test_an_opposite_is_a_live_latent_with_the_negative_direction() -> None:
    e = np.eye(4)
    seeds = np.array([[e[0], -e[0], e[1]], [e[0], e[2], -e[1]], [-e[0], e[1], e[3]]])
    wanted = [e[0], 2 * e[1], e[3]]
    np.testing.assert_allclose(opposite_found(wanted, seeds), [2 / 3, 1 / 3, 0])
    live = np.array([[True, False, True], [True] * 3, [True] * 3])
    np.testing.assert_allclose(opposite_found(wanted, seeds, live), [1 / 3, 1 / 3, 0])


def test_the_least_cosine() -> None:
    seeds = np.array([[[-0.6, 0.8]], [[-0.8, 0.6]]])
    np.testing.assert_allclose(opposite_found([[1.0, 0]], seeds), [0.5])
    np.testing.assert_allclose(opposite_found([[1.0, 0]], seeds, least=0.5), [1])
    np.testing.assert_allclose(opposite_found(np.zeros((0, 2)), seeds), [])
