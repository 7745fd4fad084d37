import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators

from synthsae.metrics.covariance import off_diagonal, permuted_rv, rv

sizes, flags = st.integers(2, 9), st.booleans()


def covariance(rng, n, scale=1.0):
    """A covariance of n variables, seldom near the identity."""
    x = rng.standard_normal((n + 2, n)) @ rng.standard_normal((n, n)) * scale
    return np.cov(x, rowvar=False)


@given(generators(), sizes)
def test_rv_is_the_traces(rng, n):
    a, b = covariance(rng, n), covariance(rng, n)
    want = np.trace(a @ b) / np.sqrt(np.trace(a @ a) * np.trace(b @ b))
    assert rv(a, b) == pytest.approx(want)
    assert -1e-12 <= rv(a, b) <= 1 + 1e-12


@given(generators(), sizes)
def test_rv_without_diagonal_is_the_cosine_of_the_pairs(rng, n):
    a, b = covariance(rng, n), covariance(rng, n)
    i, j = np.triu_indices(n, 1)
    want = a[i, j] @ b[i, j] / (np.linalg.norm(a[i, j]) * np.linalg.norm(b[i, j]))
    assert rv(a, b, diagonal=False) == pytest.approx(want)
    assert (np.diagonal(off_diagonal(a)) == 0).all()


@given(generators(), sizes, flags)
def test_rv_of_itself_is_one_and_ignores_scale_and_order(rng, n, diagonal):
    a, b = covariance(rng, n), covariance(rng, n)
    order = rng.permutation(n)
    turned = np.ix_(order, order)
    assert rv(a, a, diagonal) == pytest.approx(1)
    assert rv(1e-200 * a, 1e200 * a, diagonal) == pytest.approx(1)
    want = rv(a, b, diagonal)
    for other in (rv(3 * a, 0.01 * b, diagonal), rv(b, a, diagonal)):
        assert other == pytest.approx(want)
    assert rv(a[turned], b[turned], diagonal) == pytest.approx(want)


def test_leading_dimensions_broadcast():
    rng = np.random.default_rng(0)
    a = np.stack([covariance(rng, 4) for _ in range(3)])
    got = rv(a[:, None], a[None])
    assert got.shape == (3, 3)
    assert got[0, 2] == pytest.approx(rv(a[0], a[2]))


def test_rv_with_and_without_diagonal_differ():
    """Equal variances alone make RV 1, and say nothing of who varies with whom."""
    a, b = np.eye(6), np.eye(6)
    a[0, 1] = a[1, 0] = b[2, 3] = b[3, 2] = 0.5
    assert rv(a, b) == pytest.approx(6 / 6.5)
    assert rv(a, b, diagonal=False) == 0
    assert rv(-a, a, diagonal=False) == pytest.approx(-1)


def test_rv_of_zero_matrices_is_nan():
    assert np.isnan(rv(np.zeros((3, 3)), np.eye(3)))
    assert np.isnan(rv(np.eye(3), np.eye(3), diagonal=False))
    assert np.isnan(permuted_rv(np.eye(3), np.eye(3), np.random.default_rng(0), 2, False)).all()


@pytest.mark.parametrize("diagonal", [True, False])
def test_the_permutation_null_has_its_closed_form_mean(diagonal):
    """E tr(A P B P^T) = tr A tr B / N + (sum of A off) (sum of B off) / (N (N - 1))."""
    rng = np.random.default_rng(0)
    a, b = np.abs(covariance(rng, 12)), covariance(rng, 12)
    draws = permuted_rv(a, b, np.random.default_rng(1), 4000, diagonal)
    off = off_diagonal(a).sum() * off_diagonal(b).sum() / (12 * 11)
    top = off + diagonal * np.trace(a) * np.trace(b) / 12
    if not diagonal:
        a, b = off_diagonal(a), off_diagonal(b)
    want = top / (np.linalg.norm(a) * np.linalg.norm(b))
    assert abs(draws.mean() - want) < 4 * draws.std() / 4000**0.5
    assert draws.std() > 0.01
    again = permuted_rv(a, b, np.random.default_rng(1), 4000, diagonal)
    np.testing.assert_allclose(again, draws)


def test_block_covariances_exceed_the_permutation_null():
    """Block covariances have RV 1 with themselves, and little with their own permutations."""
    blocks = np.kron(np.eye(16), np.ones((16, 16)))
    draws = permuted_rv(blocks, blocks, np.random.default_rng(0), 50, diagonal=False)
    assert rv(blocks, blocks, diagonal=False) == pytest.approx(1)
    assert draws.mean() == pytest.approx(15 / 255, abs=0.01)


def test_off_diagonal_rounding_errors_count_as_zero():
    """Orthonormal rows: their Gram matrix is diagonal but for rounding, which no two CPUs share."""
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    truth = np.cov(np.random.default_rng(1).standard_normal((6, 50)))
    assert np.isnan(rv(truth, (q @ q.T + (q @ q.T).T) / 2, diagonal=False))
    assert np.isfinite(rv(truth, q @ np.diag([1, 1, 1, 1, 1, 1.001]) @ q.T, diagonal=False))
