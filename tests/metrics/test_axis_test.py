"""The kurtosis with its gate taken out: exact moments, its interval, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthsae.checks import ConfigError
from synthsae.metrics.axis_test import axis_test

SCALE = np.sqrt([3, 1, 0.5, 0.2])


def gated(code: np.ndarray, rng: np.random.Generator, p: float = 0.15) -> np.ndarray:
    """Rows of a block's code [N, 4] behind a gate, beside another such block and a little noise."""
    x = np.zeros((len(code), 8))
    x[:, :4] = code * (rng.random((len(code), 1)) < p)
    x[:, 4:] = rng.standard_normal((len(code), 4)) * (rng.random((len(code), 1)) < p)
    return x + 0.01 * rng.standard_normal(x.shape)


def axes(sides: int = 1) -> np.ndarray:
    return np.r_[np.eye(8), -np.eye(8)] if sides == 2 else np.eye(8)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_kurtosis_of_the_code_whatever_the_gate(p: float) -> None:
    rng, n = np.random.default_rng(0), 600_000
    codes = {3: rng.standard_normal((n, 4)), 6: rng.laplace(size=(n, 4))}
    codes[1.8] = rng.uniform(-1, 1, (n, 4))
    for want, code in codes.items():
        found = axis_test(gated(code * SCALE, rng, p), axes(2))
        np.testing.assert_allclose(found.kappa[:4], want, rtol=0.15)
        assert (found.partner[:4] % 8 < 4).all()  # in its own block


def test_directions_that_are_no_axes_and_any_radius() -> None:
    """An X in an elliptical plane, whose radius is far from that of a Gaussian."""
    rng = np.random.default_rng(1)
    code = rng.standard_normal((200_000, 4)) * SCALE
    code *= rng.uniform(0.2, 1, (len(code), 1)) / np.linalg.norm(code / SCALE, axis=1)[:, None]
    angles = np.array([0.4, -0.4, 0.4 + np.pi, np.pi - 0.4])
    x_shape = np.c_[np.cos(angles), np.sin(angles), np.zeros((4, 6))]
    np.testing.assert_allclose(axis_test(gated(code, rng), x_shape).kappa, 3, rtol=0.05)


def test_the_interval_covers_and_finds_sparse_axes() -> None:
    rng = np.random.default_rng(2)
    covered, false, found = [], [], []
    for _ in range(60):
        normal = axis_test(gated(rng.standard_normal((16_000, 4)) * SCALE, rng), axes())
        covered.append((normal.low <= 3) & (normal.high >= 3))
        false.append(normal.low > 3)
        laplace = axis_test(gated(rng.laplace(size=(16_000, 4)) * SCALE, rng), axes())
        found.append(laplace.low[:4] > 3)
    assert 0.92 <= np.mean(covered) <= 0.98  # of 480 directions
    assert np.mean(false) <= 0.05
    assert np.mean(found) >= 0.8


def test_a_direction_alone_has_no_partner() -> None:
    rng = np.random.default_rng(3)
    x = (rng.random((20_000, 3)) < 0.1) * np.abs(rng.standard_normal((20_000, 3)))
    found = axis_test(x, np.eye(3))
    assert found.partner.tolist() == [-1, -1, -1]
    assert np.isnan(found.kappa).all()


@given(arrays(float, (80, 3), elements=st.floats(-3, 3)), st.floats(0.1, 10))
def test_scale_and_sign_do_not_matter(x: np.ndarray, scale: float) -> None:
    directions = np.eye(3)
    with np.errstate(all="ignore"):
        a, b = axis_test(x, directions), axis_test(x, -scale * directions)
    np.testing.assert_allclose(a.kappa, b.kappa, rtol=1e-6)
    np.testing.assert_array_equal(a.partner, b.partner)


def test_bad_input() -> None:
    for x, w in ((np.ones(3), np.eye(3)), (np.full((90, 3), np.nan), np.eye(3))):
        with pytest.raises(ConfigError) as error:
            axis_test(x, w)
        assert error.value.field == "x"
