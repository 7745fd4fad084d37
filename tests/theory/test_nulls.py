"""Random subspaces and uniqueness bounds."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.geometry import haar, unit


@pytest.mark.parametrize(
    ("d", "r1", "r2"), [(2, 1, 1), (6, 2, 3), (6, 3, 2), (9, 1, 8), (20, 5, 5)]
)
def test_random_overlap_moments(d: int, r1: int, r2: int) -> None:
    q = haar(d, np.random.default_rng(d), (20_000,))
    overlap = (q[:, :r2, :r1] ** 2).sum(axis=(1, 2)) / r2
    mean, sd = theory.random_overlap(d, r1, r2)
    assert abs(overlap.mean() - mean) <= 4 * sd / np.sqrt(20_000)
    kurtosis = ((overlap - mean) ** 4).mean() / sd**4
    assert abs(overlap.std() / sd - 1) <= 4 * np.sqrt((kurtosis - 1) / 4 / 20_000)


def test_random_overlap_limits() -> None:
    mean, sd = theory.random_overlap(5, [5, 3], [[2], [5]])
    np.testing.assert_allclose(mean, [[1, 0.6], [1, 0.6]])
    np.testing.assert_allclose(sd, [[0, sd[0, 1]], [0, 0]], atol=1e-15)  # all of R^5 has no spread
    assert sd[0, 1] > 0
    # R1 = R2 = 1 is a squared cosine, Beta(1/2, (d-1)/2): variance 2 (d-1) / (d^2 (d+2))
    assert float(theory.random_overlap(7, 1, 1)[1] ** 2) == pytest.approx(2 * 6 / (49 * 9))


@given(st.integers(2, 300), st.data())
def test_random_overlap_is_symmetric_up_to_its_denominator(d: int, data: st.DataObject) -> None:
    r1, r2 = data.draw(st.integers(1, d)), data.draw(st.integers(1, d))
    (mean, sd), (other_mean, other_sd) = (
        theory.random_overlap(d, r1, r2),
        theory.random_overlap(d, r2, r1),
    )
    np.testing.assert_allclose((mean * r2, sd * r2), (other_mean * r1, other_sd * r1), atol=1e-12)
    assert 0 < mean <= 1
    assert 0 <= sd <= 0.5


def test_welch_bound_is_reached_by_equiangular_frames_and_by_no_other() -> None:
    angles = 2 * np.pi * np.arange(3) / 3
    frame = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # three lines in the plane
    assert theory.welch_bound(3, 2) == pytest.approx(np.abs(frame @ frame.T)[0, 1])
    for d in (2, 3, 7):
        assert theory.welch_bound(d + 1, d) == pytest.approx(1 / d)  # the simplex
    np.testing.assert_array_equal(theory.welch_bound([1, 2, 5], [5, 2, 5]), 0)
    rng = np.random.default_rng(0)
    for m, n in [(5, 3), (20, 6), (9, 8)]:
        x = unit(rng.standard_normal((200, m, n)))
        gram = np.abs(x @ x.mT) - np.eye(m)
        assert gram.max(axis=(1, 2)).min() > theory.welch_bound(m, n)
        # its square is the least mean square, which tight frames reach
        u = np.linalg.qr(rng.standard_normal((m, n)))[0]
        g = u @ u.T * m / n
        mean_square = (np.sum(g**2) - m) / (m * (m - 1))
        assert mean_square >= theory.welch_bound(m, n) ** 2 - (np.diag(g) ** 2 - 1).sum() / m


@given(st.integers(1, 200), st.integers(1, 100))
def test_welch_bound_grows_with_atoms(m: int, n: int) -> None:
    assert 0 <= theory.welch_bound(m, n) <= theory.welch_bound(m + 1, n) <= 1


def test_unique_sparsity() -> None:
    # (1 + 1/mu) / 2 = 1, 1.5, 2, 2.17, 3, 5.5: strictly less
    np.testing.assert_array_equal(
        theory.unique_sparsity([1, 0.5, 1 / 3, 0.3, 0.2, 0.1, 0]), [0, 1, 1, 2, 2, 5, np.inf]
    )


@given(st.floats(1e-3, 1))
def test_unique_sparsity_is_the_largest_below_its_bound(mu: float) -> None:
    k, bound = theory.unique_sparsity(mu), (1 + 1 / mu) / 2
    assert k < bound + 1e-9
    assert k + 1 >= bound - 1e-9


def test_sparse_codes_below_the_bound_are_unique() -> None:
    frame = np.concatenate([np.eye(4), unit([[1.0, 1, 1, 1], [1, -1, 1, -1.0]])])  # mu = 1/2: k = 1
    k = int(theory.unique_sparsity(np.abs(frame @ frame.T - np.eye(6)).max()))
    assert k == 1
    spans = [frame[list(s)] for s in combinations(range(6), 2 * k)]
    assert all(np.linalg.matrix_rank(s) == 2 * k for s in spans)  # no null vector of 2k entries


BAD = [
    (lambda: theory.random_overlap(1, 1, 1), "d"),
    (lambda: theory.random_overlap(5, 6, 1), "r1"),
    (lambda: theory.random_overlap(5, 1, [2, 7]), "r2"),
    (lambda: theory.random_overlap(5, 0, 1), "r1"),
    (lambda: theory.welch_bound(0, 4), "m"),
    (lambda: theory.welch_bound(4, 1.5), "n"),
    (lambda: theory.unique_sparsity(1.5), "coherence"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_an_error_names_the_argument(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.field == argument
