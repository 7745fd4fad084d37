"""Directions of one-term codes, against brute force and against what symmetry says."""

import numpy as np
import pytest

from synthsae import theory
from synthsae.checks import ConfigError


def loss(atoms: np.ndarray, x: np.ndarray) -> float:
    """Mean squared error with the best single atom of non-negative magnitude."""
    best = np.maximum(x @ atoms.T, 0).max(axis=1)
    return float(((x**2).sum(axis=1) - best**2).mean())


def cross(angle: float) -> np.ndarray:
    half = np.array([[np.cos(angle), np.sin(angle)], [np.cos(angle), -np.sin(angle)]])
    return np.r_[half, -half]


@pytest.mark.parametrize(("major", "minor"), [(1.5, 1.0), (3.0, 1.0), (5.0, 0.5)])
def test_the_best_x_is_that_of_a_search(major: float, minor: float) -> None:
    x = np.random.default_rng(0).standard_normal((200_000, 2)) * np.sqrt([major, minor])
    angles = np.radians(np.arange(1, 60))
    losses = [loss(cross(a), x) for a in angles]
    found = theory.best_cross(major, minor)
    assert np.degrees(found.angle) == pytest.approx(np.degrees(angles[np.argmin(losses)]), abs=1.5)
    assert found.loss == pytest.approx(min(losses), rel=0.02)


def test_known_angles_and_the_ends() -> None:
    ratios = np.array([1.2, 1.5, 2, 3, 5, 10])
    angles = np.degrees(theory.best_cross(ratios, 1.0).angle)  # tan 2d = (4 / pi) sqrt(r) / (r - 1)
    np.testing.assert_allclose(
        np.tan(np.radians(2 * angles)), 4 / np.pi * np.sqrt(ratios) / (ratios - 1)
    )
    np.testing.assert_allclose(angles, [40.9, 36.1, 30.5, 23.9, 17.7, 12.1], atol=0.05)
    assert np.degrees(theory.best_cross(1.0, 1.0).angle) == pytest.approx(45)
    assert theory.best_cross(2.0, 0.0).angle == 0
    assert theory.best_cross(2.0, 0.0).loss == pytest.approx(0)


@pytest.mark.slow
def test_free_atoms_find_the_x() -> None:
    atoms = theory.one_term_atoms([3.0, 1.0], 4, 1, n_samples=400_000)
    angle = np.degrees(np.arccos(np.abs(atoms[:, 0])))
    np.testing.assert_allclose(angle, np.degrees(theory.best_cross(3.0, 1.0).angle), atol=1)
    assert sorted(np.sign(atoms[:, 0] * atoms[:, 1])) == [-1, -1, 1, 1]


def test_no_start_is_better_after_fewer_rounds() -> None:
    """Neither step of Lloyd's algorithm raises the loss on its own samples."""
    v, start = np.array([3.0, 1.0, 0.5]), 5
    rng = np.random.default_rng(start)
    x = rng.standard_normal((4000, 3)) * np.sqrt(v)
    losses = [
        loss(theory.one_term_atoms(v, 6, start, n_samples=4000, n_rounds=n), x) for n in range(1, 9)
    ]
    assert (np.diff(losses) <= 1e-12).all()
    assert losses[0] > losses[-1]


def test_equal_variances_give_equal_rights() -> None:
    """Without a preferred direction minimisers of two starts are rotations of each other."""
    codes = np.stack([theory.one_term_atoms(np.ones(2), 4, s) for s in range(6)])
    first = np.degrees(np.arctan2(codes[..., 1], codes[..., 0])) % 90
    assert np.ptp(first.mean(axis=1)) > 20


def test_closeness_is_to_the_nearest_axis() -> None:
    atoms = np.array([[1.0, 0, 0], [0, -1, 0], [0.6, 0, 0.8]])
    np.testing.assert_allclose(theory.axis_closeness(atoms), [1, 1, 0.8])


@pytest.mark.parametrize("bad", [[-1.0, 1.0], [np.nan, 1.0]])
def test_variances_are_checked(bad: list[float]) -> None:
    with pytest.raises(ConfigError) as error:
        theory.one_term_atoms(bad, 4, 0)
    assert error.value.field == "variances"
