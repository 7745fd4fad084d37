"""Caps and chance levels against the published numbers, simulation and their limits."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.geometry import unit

RANKS = st.integers(1, 400)
COSINES = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("rank", "measure", "digits"),
    [
        (2, 0.253, 3),
        (3, 0.150, 3),
        (4, 0.0941, 4),
        (6, 0.0400, 4),
        (8, 0.0179, 4),
        (12, 0.00386, 5),
        (16, 8.8e-4, 5),
    ],
)
def test_cap_measure_at_seven_tenths(rank: int, measure: float, digits: int) -> None:
    assert round(float(theory.cap_measure(rank, 0.7)), digits) == measure


def test_chance_of_absolute_cosines_is_that_of_twice_as_many_caps() -> None:
    hit = 2 * theory.cap_measure(8, 0.7)
    got = theory.chance_found(8, [0, 1, 30], absolute=True)
    np.testing.assert_allclose(got, 1 - (1 - hit) ** np.array([0, 1, 30]), rtol=1e-12)


def test_cap_measure_in_low_ranks() -> None:
    t = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(theory.cap_measure(2, t), np.arccos(t) / np.pi, atol=1e-14)  # circle
    np.testing.assert_allclose(theory.cap_measure(3, t), (1 - t) / 2, atol=1e-14)  # Archimedes
    np.testing.assert_array_equal(
        theory.cap_measure(1, [-1, -0.5, 0, 0.5, 1]), [1, 0.5, 0.5, 0.5, 0.5]
    )
    np.testing.assert_array_equal(theory.cap_measure([2, 3, 50], 1), 0)
    np.testing.assert_array_equal(theory.cap_measure([2, 3, 50], -1), 1)
    np.testing.assert_allclose(theory.cap_measure([1, 2, 3, 50], 0), 0.5)


def test_cap_measure_broadcasts() -> None:
    assert theory.cap_measure(3, 0.7).shape == ()
    grid = theory.cap_measure([[2], [5]], [0.1, -0.2, 0.3])
    assert grid.shape == (2, 3)
    assert grid[1, 2] == theory.cap_measure(5, 0.3)


@pytest.mark.parametrize("rank", [1, 2, 5, 40])
def test_cap_measure_is_the_share_of_uniform_directions(rank: int) -> None:
    x = unit(np.random.default_rng(rank).standard_normal((20_000, rank)))[:, 0]
    for theta in (-0.6, -0.1, 0.2, 0.7):
        a = float(theory.cap_measure(rank, theta))
        assert abs((x >= theta).mean() - a) <= 4 * np.sqrt(a * (1 - a) / len(x))


@given(RANKS, COSINES, COSINES)
def test_cap_measure_falls_with_theta_and_is_symmetric(rank: int, s: float, t: float) -> None:
    a, b = theory.cap_measure(rank, min(s, t)), theory.cap_measure(rank, max(s, t))
    assert 0 <= b <= a <= 1
    if -1 < t < 1 and (rank > 1 or t != 0):
        np.testing.assert_allclose(
            theory.cap_measure(rank, t) + theory.cap_measure(rank, -t), 1, atol=1e-14
        )


@given(RANKS, st.floats(0, 1))
def test_cap_measure_falls_with_rank(rank: int, theta: float) -> None:
    assert theory.cap_measure(rank + 1, theta) <= theory.cap_measure(rank, theta) + 1e-15


@given(st.integers(2, 400), st.floats(0, 1))
def test_cap_angle_inverts_the_measure(rank: int, measure: float) -> None:
    angle = theory.cap_angle(rank, measure)
    assert 0 <= angle <= np.pi
    np.testing.assert_allclose(theory.cap_measure(rank, np.cos(angle)), measure, atol=1e-7)


CHANCE = {  # (D, M): max signed, max absolute, Hungarian signed, Hungarian absolute
    (768, 16384): (0.143, 0.148, None, None),
    (512, 2048): (0.151, 0.159, None, None),
    (128, 1024): (0.283, 0.299, None, None),
    (64, 256): (0.346, 0.371, 0.328, 0.354),
    (32, 128): (0.443, 0.478, 0.417, 0.456),
    (16, 32): (0.500, 0.557, 0.454, 0.520),
}


@pytest.mark.parametrize(("size", "expected"), CHANCE.items())
def test_chance_max_cosine_reference(size: tuple[int, int], expected: tuple) -> None:
    assert round(theory.chance_max_cosine(*size), 3) == expected[0]
    assert round(theory.chance_max_cosine(*size, absolute=True), 3) == expected[1]


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(("d", "m"), [(1, 1), (1, 3), (2, 1), (2, 5), (3, 2), (7, 30), (60, 80)])
def test_chance_max_cosine_is_the_mean_maximum(d: int, m: int, absolute: bool) -> None:
    x = unit(np.random.default_rng(d * m).standard_normal((4000, m, d)))[..., 0]
    top = (np.abs(x) if absolute else x).max(axis=1)
    error = top.std() / np.sqrt(len(top))
    assert abs(top.mean() - theory.chance_max_cosine(d, m, absolute)) <= 4 * error + 1e-12


def test_chance_max_cosine_in_low_dimensions() -> None:
    for d in (2, 3, 10):
        assert theory.chance_max_cosine(d, 1) == pytest.approx(0, abs=1e-12)
    assert theory.chance_max_cosine(2, 1, absolute=True) == pytest.approx(2 / np.pi, abs=1e-12)
    assert theory.chance_max_cosine(3, 4) == pytest.approx(
        1 - 2 / 5, abs=1e-12
    )  # uniform on [-1, 1]
    assert theory.chance_max_cosine(3, 4, absolute=True) == pytest.approx(4 / 5, abs=1e-12)
    large = 10**6  # near sqrt(2 log m / d)
    assert theory.chance_max_cosine(large, 10**4) == pytest.approx(3.852e-3, rel=2e-3)


@given(st.integers(1, 300), st.integers(1, 3000))
def test_chance_max_cosine_grows_with_m(d: int, m: int) -> None:
    signed, absolute = (theory.chance_max_cosine(d, m, a) for a in (False, True))
    assert -1e-12 <= signed <= absolute <= 1
    assert theory.chance_max_cosine(d, m + 1) >= signed
    # (1 - 2A)^m <= (1 - A)^2m: the two ends of m lines reach further than 2m directions
    assert absolute >= theory.chance_max_cosine(d, 2 * m) - 1e-12


@pytest.mark.parametrize(
    ("d", "m", "theta"), [(2, 4, 0.7), (8, 20, 0.7), (16, 100, 0.5), (5, 3, -0.2)]
)
def test_chance_found_is_the_share_found(d: int, m: int, theta: float) -> None:
    x = unit(np.random.default_rng(m).standard_normal((4000, m, d)))[..., 0]
    p = float(theory.chance_found(d, m, theta))
    assert abs((x.max(axis=1) >= theta).mean() - p) <= 4 * np.sqrt(p * (1 - p) / 4000)


def test_chance_found_limits() -> None:
    np.testing.assert_array_equal(theory.chance_found(8, 0, [0.7, -1]), 0)
    assert theory.chance_found(8, 1, 0.7) == pytest.approx(float(theory.cap_measure(8, 0.7)))
    assert theory.chance_found(8, 5, -1) == 1
    tiny = theory.chance_found(768, 16384, 0.7)  # far below the rounding of 1 - x
    assert tiny == pytest.approx(16384 * float(theory.cap_measure(768, 0.7)), rel=1e-9)
    assert 0 < tiny < 1e-100


@pytest.mark.parametrize("size", [(64, 256), (32, 128), (16, 32)])
@pytest.mark.parametrize("absolute", [False, True])
def test_chance_matched_cosine_reference(size: tuple[int, int], absolute: bool) -> None:
    expected, spread = CHANCE[size][2 + absolute], {256: 0.0025, 128: 0.005, 32: 0.018}[size[1]]
    draws = {256: 24, 128: 100, 32: 1500}[size[1]]
    mine = theory.chance_matched_cosine(*size, absolute=absolute, draws=draws, rng=1)
    assert abs(mine - expected) <= 0.0005 + 4 * spread / np.sqrt(draws)


def test_chance_matched_cosine_large_reference() -> None:
    assert theory.chance_matched_cosine(128, 1024, draws=1) == pytest.approx(0.271, abs=0.0025)


def test_chance_matched_cosine_of_one_direction_and_of_many() -> None:
    draws = 3000
    one = theory.chance_matched_cosine(5, 1, draws=draws)  # E cos = 0, variance 1/5
    assert abs(one) <= 4 * np.sqrt(1 / 5 / draws)
    one = theory.chance_matched_cosine(2, 1, absolute=True, draws=draws)  # E |cos| = 2 / pi
    assert abs(one - 2 / np.pi) <= 4 * np.sqrt((0.5 - 4 / np.pi**2) / draws)
    # one direction matched to n others takes the largest
    crowd = theory.chance_matched_cosine(6, 1, 20, draws=draws)
    assert abs(crowd - theory.chance_max_cosine(6, 20)) <= 4 * 0.13 / np.sqrt(draws)
    assert theory.chance_matched_cosine(6, 20, 1, draws=draws) == pytest.approx(crowd, abs=0.014)


def test_chance_matched_cosine_is_below_many_to_one_and_follows_its_seed() -> None:
    a, same, other = (theory.chance_matched_cosine(16, 32, rng=r) for r in (0, 0, 1))
    assert a == same != other
    assert a < theory.chance_max_cosine(16, 32)


BAD = [
    (lambda: theory.cap_measure(0, 0.7), "rank"),
    (lambda: theory.cap_measure([2, -3], 0.7), "rank"),
    (lambda: theory.cap_measure(2.5, 0.7), "rank"),
    (lambda: theory.cap_measure(np.nan, 0.7), "rank"),
    (lambda: theory.cap_measure("two", 0.7), "rank"),
    (lambda: theory.cap_measure(2, 1.01), "theta"),
    (lambda: theory.cap_measure(2, [0.1, -1.5]), "theta"),
    (lambda: theory.cap_measure(2, np.nan), "theta"),
    (lambda: theory.cap_angle(1, 0.3), "rank"),
    (lambda: theory.cap_angle(3, 1.3), "measure"),
    (lambda: theory.chance_found(0, 5), "d"),
    (lambda: theory.chance_found(5, -1), "m"),
    (lambda: theory.chance_max_cosine(0, 5), "d"),
    (lambda: theory.chance_max_cosine(5, 0), "m"),
    (lambda: theory.chance_matched_cosine(5, 4, 0), "n"),
    (lambda: theory.chance_matched_cosine(5, 4, draws=0), "draws"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_an_error_names_the_argument(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.field == argument
