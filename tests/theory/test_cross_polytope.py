"""Coverage of the cross-polytope against Monte Carlo, quadrature-free cases and the cap measure."""

import numpy as np
import pytest

from synthsae.theory import cap_measure, coverage_cross_polytope


@pytest.mark.parametrize("rank", [1, 2, 3, 5, 8, 16])
def test_it_is_the_share_of_unit_vectors_with_a_large_coordinate(rank: int) -> None:
    u = np.random.default_rng(0).standard_normal((200_000, rank))
    largest = np.abs(u / np.linalg.norm(u, axis=1, keepdims=True)).max(axis=1)
    t = np.array([0.05, 0.2, 0.4, 0.6, 0.7, 0.75, 0.85, 0.95, 0.999])
    seen = (largest[:, None] >= t - 1e-12).mean(axis=0)
    assert np.abs(coverage_cross_polytope(rank, t) - seen).max() < 4.5 * 0.5 / np.sqrt(len(u))


def test_reference_numbers() -> None:
    got = coverage_cross_polytope([2, 3, 4, 6, 8], 0.7)  # science.md, section 5
    np.testing.assert_allclose(got, [1, 0.8964, 0.7517, 0.4795, 0.2862], atol=5e-5)


@pytest.mark.parametrize("rank", [2, 3, 4, 6, 8, 12, 16])
def test_above_half_a_right_angle_caps_are_disjoint(rank: int) -> None:
    t = np.linspace(0.7072, 0.99, 7)
    np.testing.assert_allclose(
        coverage_cross_polytope(rank, t), 2 * rank * cap_measure(rank, t), atol=2e-4
    )
    below = np.linspace(0.3, 0.7, 5)
    bound = np.minimum(1, 2 * rank * cap_measure(rank, below))
    assert (coverage_cross_polytope(rank, below) <= bound + 2e-4).all()
