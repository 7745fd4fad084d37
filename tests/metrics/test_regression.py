import numpy as np
import pytest
from hypothesis import given
from sklearn.linear_model import LinearRegression
from strategies import generators

from synthsae.metrics.regression import least_squares


@pytest.mark.slow
@given(generators())
def test_equals_scikit_learn(rng):
    x = rng.standard_normal((30, 3)) @ rng.standard_normal((3, 3)) + 7
    y = x @ [1.0, -2, 0] + rng.standard_normal(30)
    got, whole = least_squares(y, x), LinearRegression().fit(x, y)
    np.testing.assert_allclose(got.slopes, whole.coef_)
    np.testing.assert_allclose(got.standardised, whole.coef_ * x.std(0) / y.std())
    assert got.r2 == pytest.approx(whole.score(x, y))
    for j in range(3):
        rest = np.delete(x, j, axis=1)
        alone = whole.score(x, y) - LinearRegression().fit(rest, y).score(rest, y)
        assert got.unique[j] == pytest.approx(alone, abs=1e-9)


def test_unique_r2_of_uncorrelated_and_of_copied_variables():
    x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    got = least_squares(3 * x[:, 0] + x[:, 1], x)
    np.testing.assert_allclose(got.unique, [0.9, 0.1])
    assert got.r2 == pytest.approx(1)
    twice = least_squares([0.0, 1, 2, 4], np.column_stack([np.arange(4), np.arange(4)]))
    np.testing.assert_allclose(twice.unique, 0, atol=1e-12)


@pytest.mark.parametrize("y", [np.ones(5), np.arange(3.0)])
def test_a_fit_without_variance_or_samples_is_nan(y):
    got = least_squares(y, np.column_stack([np.arange(len(y)), np.arange(len(y)) ** 2]))
    assert np.isnan(got.r2)
    assert np.isnan([*got.slopes, *got.standardised, *got.unique]).all()
