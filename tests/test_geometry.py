import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from strategies import generators

from synthsae.checks import ConfigError
from synthsae.geometry import haar, live_latents, tight_frame, unit


def near_mean(samples, mean):
    """The mean of `samples` (first axis) is `mean` within five standard errors."""
    error = samples.std(axis=0) / len(samples) ** 0.5
    return np.all(np.abs(samples.mean(axis=0) - mean) <= 5 * error + 1e-12)


@given(generators(), st.integers(1, 8), st.sampled_from([(), (1,), (3, 2)]))
def test_haar_is_orthogonal(rng, n, size):
    q = haar(n, rng, size)
    assert q.shape == (*size, n, n)
    np.testing.assert_allclose(q @ q.mT, np.broadcast_to(np.eye(n), q.shape), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_haar_has_the_moments_of_haar_measure(n):
    q = haar(n, np.random.default_rng(0), (20_000,))
    trace = np.trace(q, axis1=1, axis2=2)
    assert near_mean(q, 0)
    assert near_mean(q**2, 1 / n)
    assert near_mean(q**4, 3 / (n * (n + 2)))
    assert near_mean(trace, 0)
    assert near_mean(trace**2, 1)
    assert near_mean(trace**4, 3 if n > 1 else 1)
    rotations = int((np.linalg.det(q) > 0).sum())
    assert binomtest(rotations, len(q), 0.5).pvalue > 1e-6


@given(generators(), st.integers(1, 8), st.integers(1, 8))
def test_a_frame_is_orthonormal_for_n_up_to_d_and_spans_beyond(rng, n, d):
    f = tight_frame(n, d, rng)
    assert f.shape == (n, d)
    np.testing.assert_allclose(np.linalg.norm(f, axis=1), 1)
    if n <= d:
        np.testing.assert_allclose(f @ f.T, np.eye(n), atol=1e-12)
    else:
        assert np.linalg.matrix_rank(f) == d


def test_an_orthonormal_frame_is_uniform():
    rng = np.random.default_rng(1)
    f = np.stack([tight_frame(3, 3, rng) for _ in range(4000)])
    trace = np.trace(f, axis1=1, axis2=2)
    assert near_mean(trace, 0)
    assert near_mean(trace**2, 1)


@pytest.mark.parametrize(("n", "d"), [(24, 16), (64, 16), (400, 20)])
def test_a_frame_of_more_than_d_rows_is_nearly_tight(n, d):
    """Frame bounds n / d and squared coherence n^2 / d (Welch), far closer than random rows."""
    rng = np.random.default_rng(0)
    frames = [tight_frame(n, d, rng), unit(rng.standard_normal((n, d)))]
    bounds = [np.abs(np.linalg.eigvalsh(f.T @ f) * d / n - 1).max() for f in frames]
    coherence = [np.sum((f @ f.T) ** 2) * d / n**2 - 1 for f in frames]
    assert bounds[0] < bounds[1] / 2
    assert 0 <= coherence[0] < coherence[1] / 5


@given(generators(), st.sampled_from([(3,), (2, 4), (2, 3, 5)]))
def test_unit_has_norm_one_and_ignores_lengths(rng, shape):
    x = rng.standard_normal(shape)
    scale = rng.uniform(1e-6, 1e6, (*shape[:-1], 1))
    np.testing.assert_allclose(np.linalg.norm(unit(x), axis=-1), 1)
    np.testing.assert_allclose(unit(x) * np.linalg.norm(x, axis=-1, keepdims=True), x)
    np.testing.assert_allclose(unit(x * scale), unit(x))


def test_a_zero_vector_stays_zero():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(unit([[0, 0], [3, 4]]), [[0, 0], [0.6, 0.8]])


def test_a_vector_that_is_not_finite_is_refused():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    for bad in (np.nan, np.inf, -np.inf):
        x[1] = 1, bad
        with pytest.raises(ConfigError) as error:
            unit(x)
        assert error.value.field == "vectors"


def test_live_latents_are_unit_rows_that_are_not_zero():
    x = np.zeros((2, 2, 3))
    x[:, 0, 0] = 5
    d, live = live_latents(x, None)
    np.testing.assert_array_equal(live, [[True, False]] * 2)
    np.testing.assert_array_equal(d[live], [[1, 0, 0]] * 2)


def test_sizes_that_no_matrix_has_are_refused():
    rng = np.random.default_rng(0)
    refused = {"n": (lambda: haar(-1, rng), lambda: tight_frame(-1, 2, rng))}
    refused |= {"d": (lambda: tight_frame(2, 0, rng),)}
    for field, calls in refused.items():
        for call in calls:
            with pytest.raises(ConfigError) as error:
                call()
            assert error.value.field == field


def test_unit_at_extreme_norms():
    """Squares over- or underflow; other rows, and rows of zeros, do not notice."""
    x = np.array([[3, 4], [3e200, 4e200], [3e-200, 4e-200], [3e-320, 4e-320], [0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = unit(x)
    np.testing.assert_allclose(got[:3], [[0.6, 0.8]] * 3, rtol=1e-15)
    np.testing.assert_allclose(got[3], [0.6, 0.8], rtol=1e-3)  # few bits are left of these
    assert not got[4].any()
    assert np.array_equal(got[0], unit(x[0]))
    assert np.array_equal(unit(x[1]), got[1])
