import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import generators

from synthsae.checks import ConfigError
from synthsae.geometry import haar, unit
from synthsae.metrics import deviation
from synthsae.metrics.counterparts import counterparts
from synthsae.metrics.deviation import deviation_dimensions

D = 24


def dimensions(x: np.ndarray, **options) -> np.ndarray:
    return deviation_dimensions(x, counterparts(x, **options))


def turned(rank: int, n_seeds: int, rng: np.random.Generator) -> np.ndarray:
    """The cross-polytope of the first `rank` axes, turned freely in each seed: [S, 2 R, D]."""
    axes = np.concatenate([np.eye(rank), -np.eye(rank)])
    codes = [axes @ haar(rank, rng) for _ in range(n_seeds)]
    return np.pad(codes, ((0, 0), (0, 0), (0, D - rank)))


@given(generators(), st.integers(5, 9))
def test_in_a_plane_counterparts_deviate_in_one_dimension(
    rng: np.random.Generator, n_seeds: int
) -> None:
    found = dimensions(turned(2, n_seeds, rng))
    assert_allclose(found[np.isfinite(found)], 1, atol=1e-9)


@given(generators(), st.integers(3, 4))
def test_free_rotation_in_r_dimensions_deviates_in_at_most_r_less_one(
    rng: np.random.Generator, rank: int
) -> None:
    found = dimensions(turned(rank, 12, rng))
    assert np.nanmax(found, initial=1) <= rank - 1 + 1e-9


def test_noise_deviates_in_the_dimensions_of_the_noise() -> None:
    rng, n, noisy = np.random.default_rng(0), 40, 8
    features = np.eye(D)[:6]
    noise = np.zeros((n, 6, D))
    noise[..., -noisy:] = rng.standard_normal((n, 6, noisy))
    found = dimensions(unit(features + 0.05 * noise))
    # of n Gaussian rows in d dimensions E (sum l)^2 / E sum l^2 is about n d / (n + d + 1)
    assert_allclose(found.mean(), (n - 1) * noisy / (n + noisy), rtol=0.05)


def test_the_ratio_is_that_of_the_eigenvalues() -> None:
    rng = np.random.default_rng(1)
    centre = unit(rng.standard_normal(D))
    x = unit(centre + 0.1 * rng.standard_normal((6, D)))[:, None]
    mean = unit(x[:, 0].sum(axis=0))
    aside = x[:, 0] - np.outer(x[:, 0] @ mean, mean)
    values = np.linalg.eigvalsh(np.cov(aside.T))
    assert_allclose(dimensions(x), values.sum() ** 2 / (values**2).sum())


@given(generators())
def test_rotations_of_everything_and_lengths_do_not_matter(rng: np.random.Generator) -> None:
    x = unit(np.eye(D)[:5] + 0.1 * rng.standard_normal((5, 5, D)))
    other = (x * rng.uniform(0.5, 2, (5, 5, 1))) @ haar(D, rng)
    assert_allclose(dimensions(x), dimensions(other), rtol=1e-6)


def test_signs_do_not_matter_where_they_are_ignored() -> None:
    rng = np.random.default_rng(2)
    x = unit(np.eye(D)[:5] + 0.1 * rng.standard_normal((5, 5, D)))
    flipped = x * rng.choice([-1, 1], (5, 5, 1))
    assert_allclose(dimensions(flipped, absolute=True), dimensions(x), rtol=1e-6)


def test_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    x = turned(2, 3, np.random.default_rng(0))
    assert np.isnan(dimensions(x)).all()  # three directions at most
    same = np.tile(np.eye(D)[:3], (6, 1, 1))
    assert np.isnan(dimensions(same)).all()  # nothing deviates
    y = unit(np.eye(D)[:7] + 0.1 * np.random.default_rng(3).standard_normal((5, 7, D)))
    y[0, 6] = 0  # a row of zeros has no counterpart
    whole = dimensions(y)
    assert np.isnan(whole[0, 6])
    monkeypatch.setattr(deviation, "CHUNK", 2)
    assert_allclose(dimensions(y), whole)


def test_shapes_that_do_not_fit() -> None:
    x = turned(2, 4, np.random.default_rng(0))
    with pytest.raises(ConfigError) as error:
        deviation_dimensions(x[:, :3], counterparts(x))
    assert error.value.field == "near.latent"
