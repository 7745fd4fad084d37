import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators, subspaces

from synthsae import geometry
from synthsae.metrics import grassmann, reappearance, subspace
from synthsae.metrics.recovery import block_recovery


def tilted(angle, d=6, seed=0):
    """Two planes of R^d at principal angles (0, angle)."""
    q = geometry.haar(d, np.random.default_rng(seed))
    other = np.cos(angle) * q[:, 1] + np.sin(angle) * q[:, 2]
    return q[:, :2], np.stack([q[:, 0], other], axis=1)


@given(subspaces())
def test_angles_equal_scipy(case):
    (a, b), _ = case
    got = subspace.principal_angles(a, b)
    np.testing.assert_allclose(got, np.sort(scipy.linalg.subspace_angles(a, b)), atol=1e-7)
    assert len(got) == min(a.shape[1], b.shape[1])
    assert (np.diff(got) >= -1e-12).all()
    assert got.min() >= 0
    assert got.max() <= np.pi / 2 + 1e-12


@pytest.mark.parametrize("angle", [1e-9, 1e-5, 0.3, np.pi / 4, np.pi / 2 - 1e-9, np.pi / 2])
def test_angles_are_right_at_both_ends(angle):
    a, b = tilted(angle)
    got = subspace.principal_angles(a, b)
    np.testing.assert_allclose(got, [0, angle], atol=1e-14, rtol=1e-5)


def test_small_angles_beside_large_ones():
    """One angle of 1e-9 and two of pi/2, where SciPy 1.17 returns 0 for the first."""
    e = np.eye(6)
    near = np.stack([e[0] + 1e-9 * e[5], e[3], e[4]], axis=1)
    got = subspace.principal_angles(e[:, :3], near)
    np.testing.assert_allclose(got, [1e-9, np.pi / 2, np.pi / 2], rtol=1e-6)


@given(subspaces())
def test_change_of_basis_and_rotation_change_nothing(case):
    (a, b), rng = case
    d = len(a)
    q = geometry.haar(d, rng)
    a2, b2 = (q @ x @ geometry.haar(x.shape[1], rng) * rng.uniform(0.5, 2) for x in (a, b))
    for measure in (
        subspace.principal_angles,
        subspace.overlap,
        grassmann.chordal_distance,
        grassmann.geodesic_distance,
    ):
        np.testing.assert_allclose(measure(a2, b2), measure(a, b), atol=1e-6)
    rows = rng.standard_normal((5, d))
    np.testing.assert_allclose(
        subspace.block_energy(rows @ q.T * 7, a2), subspace.block_energy(rows, a), atol=1e-9
    )


@given(subspaces())
def test_overlap_is_the_mean_squared_cosine(case):
    (a, u), _ = case
    got = subspace.overlap(a, u)
    cosines = np.cos(scipy.linalg.subspace_angles(a, u))
    assert got == pytest.approx(np.sum(cosines**2) / u.shape[1])
    assert 0 <= got <= 1
    assert subspace.overlap(a, a) == pytest.approx(1)
    assert got * u.shape[1] == pytest.approx(subspace.overlap(u, a) * a.shape[1])


def test_overlap_of_missing_directions():
    e = np.eye(5)
    assert subspace.overlap(e[:, :2], e[:, :4]) == pytest.approx(0.5)
    assert subspace.overlap(e[:, :4], e[:, :2]) == pytest.approx(1)
    assert subspace.overlap(e[:, :2], e[:, 2:]) == 0
    assert subspace.overlap(e[:, :0], e) == 0
    assert subspace.overlap(e, e[:, :0]) == 0
    assert subspace.overlap(3 * e[:, [0, 0, 1]], e[:, :4]) == pytest.approx(0.5)  # rank 2
    assert len(subspace.principal_angles(e[:, :0], e)) == 0


def test_overlap_of_random_subspaces():
    rng = np.random.default_rng(0)
    d, r1, r2, n = 20, 5, 3, 400
    got = [subspace.overlap(q[:, :r1], p[:, :r2]) for q, p in geometry.haar(d, rng, (n, 2))]
    var = 2 * r1 * r2 * (d - r1) * (d - r2) / (d**2 * (d - 1) * (d + 2)) / r2**2
    assert np.mean(got) == pytest.approx(r1 / d, abs=4 * np.sqrt(var / n))


def test_energy_and_membership_by_hand():
    basis = [[1, 1], [0, 2], [0, 0]]  # spans the first two axes
    d = np.array([[3, 0, 0], [0, 0, 2], [1, 0, 1], [0, 0, 0], [1, 1, -1]])
    np.testing.assert_allclose(subspace.block_energy(d, basis), [1, 0, 0.5, 0, 2 / 3])
    np.testing.assert_array_equal(
        subspace.members(d, basis, threshold=0.49), [True, False, True, False, True]
    )
    live = np.array([False, True, True, True, True])
    np.testing.assert_array_equal(
        subspace.members(d, basis, live, 0.6), [False, False, False, False, True]
    )
    assert subspace.block_energy(np.ones((2, 4, 3)), basis).shape == (2, 4)
    assert subspace.members([[1, 0, 0]], [[1], [0], [0]], threshold=1).all()


@given(subspaces(n=1), st.integers(1, 12), st.integers(1, 9))
def test_learned_span_is_the_best_subspace(case, n, rank):
    (basis,), rng = case
    rows = rng.standard_normal((n, basis.shape[1])) @ basis.T
    span = subspace.learned_span(rows, rank)
    assert span.shape == (len(basis), min(rank, n, basis.shape[1]))
    np.testing.assert_allclose(span.T @ span, np.eye(span.shape[1]), atol=1e-10)
    s = np.linalg.svd(geometry.unit(rows), compute_uv=False)
    captured = subspace.block_energy(rows, span).sum()
    assert captured == pytest.approx(np.sum(s[: span.shape[1]] ** 2))
    scaled = subspace.learned_span(rows * rng.uniform(0.1, 9, (n, 1)), rank)
    assert subspace.overlap(scaled, span) == pytest.approx(1, abs=1e-5) or rank < len(s)


def test_missing_directions_count_as_right_angles():
    e = np.eye(6)
    span = subspace.learned_span(np.array([e[0], 2 * e[0], -e[1], 0 * e[0]]), 4)
    assert span.shape == (6, 2)
    half = np.pi / 2
    np.testing.assert_allclose(
        subspace.recovery_angles(span, e[:, :4]), [0, 0, half, half], atol=1e-7
    )
    np.testing.assert_allclose(subspace.recovery_angles(span, e[:, :1]), [0], atol=1e-7)
    np.testing.assert_allclose(subspace.recovery_angles(e[:, :0], e[:, :2]), [half, half])
    assert subspace.learned_span(np.zeros((0, 6)), 3).shape == (6, 0)
    assert subspace.learned_span(np.zeros((2, 6)), 3).shape == (6, 0)


@given(subspaces(n=3))
def test_grassmann_distances_are_metrics(case):
    (a, b, c), _ = case
    for distance in (grassmann.chordal_distance, grassmann.geodesic_distance):
        ab, bc, ac = distance(a, b), distance(b, c), distance(a, c)
        assert distance(b, a) == pytest.approx(ab)
        assert distance(a, a) == pytest.approx(0, abs=1e-6)
        assert ac <= ab + bc + 1e-9
        if a.shape[1] != b.shape[1]:
            assert ab >= 1


def test_grassmann_distances_by_hand():
    a, b = tilted(0.3)
    assert grassmann.geodesic_distance(a, b) == pytest.approx(0.3)
    assert grassmann.chordal_distance(a, b) == pytest.approx(np.sin(0.3))
    projectors = a @ a.T - b @ b.T
    assert grassmann.chordal_distance(a, b) == pytest.approx(np.linalg.norm(projectors) / 2**0.5)
    assert grassmann.geodesic_distance(a, a[:, :1]) == pytest.approx(np.pi / 2)
    assert grassmann.chordal_distance(np.eye(4)[:, :2], np.eye(4)[:, 2:]) == pytest.approx(2**0.5)


@given(generators())
def test_block_recovery_against_its_parts(rng):
    q = geometry.haar(8, rng)
    basis = q[:, :3]
    inside = rng.standard_normal((2, 4, 3)) @ basis.T
    outside = rng.standard_normal((2, 5, 5)) @ q[:, 3:].T
    d = np.concatenate([outside, inside], axis=1) + 1e-3 * rng.standard_normal((2, 9, 8))
    live = np.ones((2, 9), bool)
    live[1, -2:] = False  # seed 1 keeps two of four: one direction is missing
    p = reappearance.reappearance(d, live=live)
    report = block_recovery(d, basis, live, p)
    np.testing.assert_array_equal(report.members, live & (np.arange(9) >= 5))
    np.testing.assert_array_equal(report.latents, [4, 2])
    np.testing.assert_allclose(report.overlap, [1, 2 / 3], atol=1e-2)
    assert report.angles.shape == (2, 3)
    assert report.angles[0].max() < 0.3
    assert report.angles[1, 2] == np.pi / 2
    np.testing.assert_allclose(report.cross_seed_overlap[0, 1], 2 / 3, atol=1e-2)
    assert report.cross_seed_overlap[1, 0] == report.cross_seed_overlap[0, 1]
    assert np.isnan(np.diag(report.cross_seed_overlap)).all()
    np.testing.assert_allclose(report.reappearance, [p[0, 5:].mean(), p[1, 5:7].mean()])
    empty = block_recovery(d, basis, np.zeros((2, 9), bool))
    np.testing.assert_array_equal(empty.overlap, 0)
    np.testing.assert_array_equal(empty.angles, np.pi / 2)
    assert np.isnan(empty.reappearance).all()
    assert empty.cross_seed_overlap[0, 1] == 0
