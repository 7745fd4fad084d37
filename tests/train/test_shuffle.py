"""The permutation of the rows: each once an epoch, in an order that looks like chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synthsae.train import shuffle


@given(st.integers(1, 3000), st.integers(0, 99))
def test_each_row_once_an_epoch(n: int, seed: int) -> None:
    for epoch in (0, 1):
        found = shuffle.rows(n, epoch * n, n, seed=seed, stream="data")
        assert np.array_equal(np.sort(found), np.arange(n))


@given(st.integers(1, 500), st.integers(1, 700), st.integers(0, 2000))
def test_rows_are_a_function_of_their_place(n: int, size: int, start: int) -> None:
    whole = shuffle.rows(n, 0, start + size, seed=1, stream="data")
    assert np.array_equal(whole[start:], shuffle.rows(n, start, size, seed=1, stream="data"))


def test_orders_differ() -> None:
    n = 1000
    orders = [
        shuffle.rows(n, 0, n, seed=0, stream="data"),
        shuffle.rows(n, n, n, seed=0, stream="data"),
        shuffle.rows(n, 0, n, seed=1, stream="data"),
        shuffle.rows(n, 0, n, seed=0, stream="eval"),
        np.arange(n),
    ]
    for i, a in enumerate(orders):
        for b in orders[:i]:
            assert (a == b).mean() < 0.01  # chance: .001


@pytest.mark.parametrize("n", [64, 1000, 10_000])
def test_orders_are_uniform(n: int) -> None:
    """First rows, neighbours and runs against what a random permutation gives."""
    orders = np.array([shuffle.rows(n, 0, n, seed=s, stream="data") for s in range(400)])
    firsts = np.bincount(orders[:, :8].ravel() * 16 // n, minlength=16)
    assert stats.chisquare(firsts).pvalue > 1e-3
    x = orders / n
    correlation = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in x]
    assert abs(np.mean(correlation)) < 4 / np.sqrt(400 * n) + 1 / n  # a permutation's is -1 / n
    assert np.std(correlation) * np.sqrt(n) == pytest.approx(1, abs=0.15)
    inversions = (np.diff(orders, axis=1) < 0).mean()
    assert inversions == pytest.approx(0.5, abs=4 / np.sqrt(12 * 400 * n))  # variance (n + 1) / 12
