"""Near-duplicates and pools of other seeds, against loops over everything."""

from itertools import combinations

import numpy as np
import pytest
from codes import cross_polytope, greedy, pooled_coverage
from hypothesis import given
from hypothesis import strategies as st

from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.geometry import unit
from synthsae.metrics import pooling, reappearance
from synthsae.metrics.pooling import any_drawn, distinct, found_in_pools


@pytest.mark.parametrize("threshold", [-0.2, 0.3, 0.7, 0.95])
def test_distinct_is_greedy_by_rate(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    d, rates = unit(rng.standard_normal((200, 4))), rng.random(200)
    want = set(greedy(d, rates, threshold))
    assert set(np.flatnonzero(distinct(3 * d, rates, threshold))) == want
    assert 1 <= len(want) < 200
    monkeypatch.setattr(pooling, "BLOCK", 7)
    assert set(np.flatnonzero(distinct(d, rates, threshold))) == want


@given(st.integers(0, 1000), st.integers(1, 30))
def test_distinct_does_not_depend_on_the_order_of_rows(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    d = unit(rng.integers(-2, 3, (n, 3)) + 0.0)  # many equal directions, equal coordinates
    rates = rng.integers(0, 3, n) / 4  # and equal rates
    order = rng.permutation(n)
    kept = d[distinct(d, rates, 0.8)]
    again = d[order][distinct(d[order], rates[order], 0.8)]
    assert sorted(map(tuple, kept)) == sorted(map(tuple, again))


def test_distinct_keeps_one_of_equal_rows_and_all_distant_rows() -> None:
    d = np.eye(5)[[0, 1, 0, 2, 1, 0]]
    assert distinct(d, np.array([1, 2, 3, 4, 5, 6.0]), 1).tolist() == [0, 0, 0, 1, 1, 1]
    assert distinct(np.vstack([np.eye(5), -np.eye(5)]), np.ones(10), 0.01).all()
    assert distinct(np.zeros((0, 5)), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize(
    ("rank", "n", "threshold", "expected"),
    [
        (6, 4, 1.0, 0.925),
        (6, 4, 0.9, 0.918),
        (6, 4, 0.7, 0.741),
        (8, 8, 1.0, 0.933),
        (8, 8, 0.9, 0.929),
        (8, 8, 0.7, 0.756),
    ],
)
def test_coverage_of_pooled_codes_is_that_of_science_md(
    rank: int, n: int, threshold: float, expected: float
) -> None:
    mine = pooled_coverage(cross_polytope(rank), n, threshold, keep=distinct)
    # the notes' values are Monte Carlo too, of few draws: allow them the spread of one
    assert abs(mine.mean() - expected) <= mine.std()
    assert mine.std() < 0.06


def test_pooled_codes_without_dropping_follow_the_coverage_law() -> None:
    for rank, n, share in [(3, 2, 0.8964), (6, 4, 0.4795)]:
        mine = pooled_coverage(cross_polytope(rank), n, 1.0, keep=distinct, draws=200, points=500)
        error = mine.std() / np.sqrt(200)
        assert abs(mine.mean() - theory.pooled_reappearance(share, n)) <= 4 * error


@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_found_in_pools_is_the_mean_over_all_pools(n: int) -> None:
    rng = np.random.default_rng(2)
    d, live = unit(rng.standard_normal((6, 9, 3))), rng.random((6, 9)) < 0.8
    hits = reappearance.found(d, live=live)
    mine = found_in_pools(hits, n)
    assert np.isnan(mine[~live]).all()
    for s in range(6):
        others = [t for t in range(6) if t != s]
        each = [hits[s, list(pool)].any(axis=0) for pool in combinations(others, n)]
        np.testing.assert_allclose(mine[s, live[s]], np.mean(each, axis=0)[live[s]], atol=1e-12)
    if n == 1:
        np.testing.assert_array_equal(mine, reappearance.reappearance(d, live=live))


def test_any_drawn_is_unbiased_where_the_plain_formula_is_too_low() -> None:
    p, n, total = 0.27, 4, 15
    x = np.random.default_rng(3).binomial(total, p, 40_000)
    truth, mine = theory.pooled_reappearance(p, n), any_drawn(x, total, n)
    assert abs(mine.mean() - truth) <= 4 * mine.std() / 200
    assert theory.pooled_reappearance(x / total, n).mean() < truth - 0.02


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: distinct(np.eye(3), np.ones(2)), "rates"),
        (lambda: distinct(np.eye(3), np.ones(3), 1.5), "threshold"),
        (lambda: any_drawn([4], 3, 1), "marked"),
        (lambda: any_drawn([1], 3, 4), "n"),
        (lambda: any_drawn([1], 3, 0), "n"),
        (lambda: found_in_pools(np.ones((2, 2, 1)), 1), "hits"),
        (lambda: found_in_pools(np.ones((2, 3, 1), bool), 1), "hits"),
    ],
)
def test_an_error_names_the_argument(call, argument: str) -> None:
    with pytest.raises(ConfigError) as error:
        call()
    assert error.value.field == argument
