"""The coverage law: exact shares, the Monte Carlo against whole rotations, its inverse, pooling."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.geometry import Array, haar, unit


def cross_polytope(rank: int) -> Array:
    return np.concatenate([np.eye(rank), -np.eye(rank)])


def block(rank: int, seeds: int, rng: np.random.Generator, dim: int = 20, count: int = 9):
    """A hard case: codes off a block by up to their own length, others that lean, dead latents."""
    basis = haar(dim, rng)[:, :rank]
    outside = np.eye(dim) - basis @ basis.T
    inside = unit(rng.standard_normal((seeds, count, rank))) @ basis.T
    off = np.linspace(0.2, 1.1, count)[:, None]
    tight = inside + off * unit(rng.standard_normal((count, dim)) @ outside)
    lean = unit(rng.standard_normal((seeds, count, rank))) @ basis.T
    lean = unit(rng.standard_normal((count, dim)) @ outside) + 0.4 * lean
    d = unit(np.concatenate([tight, lean], axis=1))
    live = rng.random(d.shape[:2]) < 0.8
    members = ((d @ basis) ** 2).sum(axis=-1) >= 0.5
    return d, live, members, basis


@pytest.mark.parametrize(
    ("rank", "share"), [(2, 1.0), (3, 0.8964), (4, 0.7517), (6, 0.4795), (8, 0.2862)]
)
def test_cross_polytopes_cover_their_exact_share(rank: int, share: float) -> None:
    basis = haar(12, np.random.default_rng(rank))[:, :rank]
    d = np.broadcast_to(cross_polytope(rank) @ basis.T, (2, 2 * rank, 12))
    every = np.ones(d.shape[:2], dtype=bool)
    p = theory.coverage_monte_carlo(d, every, every, basis, draws=6000)
    assert p.shape == (6000, 2)
    run = p.mean(axis=1)
    assert abs(run.mean() - share) <= 4 * run.std() / np.sqrt(len(run)) + 5e-5


@pytest.mark.parametrize("theta", [0.7, 0.5, -0.3])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_monte_carlo_is_the_rotation_of_whole_directions(rank: int, theta: float) -> None:
    d, live, members, basis = block(rank, 4, np.random.default_rng(rank))
    mine = theory.coverage_monte_carlo(d, live, members, basis, theta, draws=5, rng=3)
    for draw, turns in zip(mine, haar(rank, np.random.default_rng(3), (5, 4)), strict=True):
        whole = [
            x @ (np.eye(20) + basis @ (q - np.eye(rank)) @ basis.T).T
            for x, q in zip(d, turns, strict=True)
        ]
        for s in range(4):
            own = whole[s][live[s] & members[s]]
            found = [(own @ whole[t][live[t]].T).max(axis=1) >= theta for t in range(4) if t != s]
            assert draw[s] == pytest.approx(np.mean(found), abs=1e-12)


def test_monte_carlo_of_independent_atoms_is_the_closed_form() -> None:
    rng, rank, count = np.random.default_rng(0), 6, 12
    basis = haar(16, rng)[:, :rank]
    d = unit(rng.standard_normal((60, count, rank))) @ basis.T
    every = np.ones(d.shape[:2], dtype=bool)
    p = theory.coverage_monte_carlo(d, every, every, basis, draws=2)
    expected = float(theory.coverage_independent(count, rank))
    pairs = 60 * 59 / 2 * count  # each a Bernoulli of about .39, pairwise independent
    assert abs(p.mean() - expected) <= 5 * np.sqrt(expected * (1 - expected) / pairs)


def test_latents_outside_the_block_do_not_move_and_dead_ones_are_not_found() -> None:
    basis = np.eye(8)[:, :3]
    d = np.broadcast_to(np.eye(8), (3, 8, 8))
    every = np.ones((3, 8), dtype=bool)
    isolated = np.broadcast_to(np.arange(8) >= 3, (3, 8))
    p = theory.coverage_monte_carlo(d, every, isolated, basis, draws=4)
    np.testing.assert_array_equal(p, 1)
    alone = every & (np.arange(3) == 0)[:, None]  # live in seed 0 only
    p = theory.coverage_monte_carlo(d, alone, isolated, basis, draws=4)
    np.testing.assert_array_equal(p[:, 0], 0)
    assert np.isnan(p[:, 1:]).all()


def test_draws_follow_the_seed_and_the_basis_does_not_change_their_distribution() -> None:
    d, live, members, basis = block(4, 5, np.random.default_rng(1))
    one, same, other = (
        theory.coverage_monte_carlo(d, live, members, basis, draws=8, rng=r) for r in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    turned = basis @ haar(4, np.random.default_rng(2))
    a, b = (
        theory.coverage_monte_carlo(d, live, members, u, draws=400).mean(axis=1)
        for u in (basis, turned)
    )
    assert abs(a.mean() - b.mean()) <= 4 * np.hypot(a.std(), b.std()) / np.sqrt(400)


@pytest.mark.parametrize(
    ("rank", "m", "closed", "independent"),
    [
        (1, 2.0, 1.0, 0.75),
        (2, 4.0, 1.0, 0.69),
        (3, 6.0, 0.90, 0.62),
        (4, 8.4, 0.79, 0.56),
        (6, 12.9, 0.515, 0.41),
        (8, 17.5, 0.312, 0.27),
        (12, 24.4, 0.094, 0.090),
        (16, 28.1, 0.025, 0.024),
    ],
)
def test_closed_forms_of_the_first_simulation(
    rank: int, m: float, closed: float, independent: float
) -> None:
    assert float(theory.coverage_closed(m, rank)) == pytest.approx(closed, abs=0.0051)
    assert float(theory.coverage_independent(m, rank)) == pytest.approx(independent, abs=0.0051)


@given(st.floats(0, 300), st.integers(1, 64), st.floats(-1, 1))
def test_closed_bounds_independent(m: float, rank: int, theta: float) -> None:
    closed, independent = (
        f(m, rank, theta) for f in (theory.coverage_closed, theory.coverage_independent)
    )
    assert 0 <= independent <= 1
    assert 0 <= closed <= 1
    if m >= 1:  # Bernoulli's inequality
        assert independent <= closed + 1e-12
    assert closed <= theory.coverage_closed(m + 1, rank, theta)
    assert independent <= theory.coverage_independent(m + 1, rank, theta)


def test_a_priori_counts_a_cross_polytope_or_the_latents_left() -> None:
    np.testing.assert_allclose(
        theory.coverage_a_priori([1, 2, 4, 8], 100),
        theory.coverage_closed([2, 4, 8, 16], [1, 2, 4, 8]),
    )
    assert theory.coverage_a_priori(8, 5.5) == theory.coverage_closed(5.5, 8)
    assert theory.coverage_a_priori(4, 100) == pytest.approx(0.752, abs=5e-4)
    assert theory.coverage_a_priori(8, 0) == 0
    assert theory.coverage_a_priori(8, 100, 0.5) > theory.coverage_a_priori(8, 100)


# The inverse


@given(st.integers(1, 60), st.floats(1.0, 4.0), st.floats(0.3, 0.95))
def test_implied_rank_inverts_the_closed_form(rank: int, per_rank: float, theta: float) -> None:
    m = per_rank * rank
    p = float(theory.coverage_closed(m, rank, theta))
    estimate = theory.implied_rank(p, m, theta)
    if p < 1:
        np.testing.assert_allclose(estimate, rank, rtol=1e-6)
    else:
        assert estimate.low == 1
        assert estimate.rank == estimate.high >= rank - 1e-9
        largest = float(estimate.rank)
        assert theory.coverage_closed(m, int(np.ceil(largest + 1e-6)), theta) < 1


def test_implied_rank_of_an_interval() -> None:
    p, low, high = (float(theory.coverage_closed(16, r)) for r in (8, 9, 6))
    estimate = theory.implied_rank(p, 16, interval=(low, high))
    np.testing.assert_allclose(estimate, (8, 6, 9), rtol=1e-9)
    saturated = theory.implied_rank(0.9, 6, interval=(0.5, 1.0))
    assert saturated.low == 1
    assert saturated.rank == pytest.approx(3, rel=1e-9)
    beyond = theory.implied_rank(0.9, 6, interval=(-0.1, 1.2))  # a jackknife may overshoot
    np.testing.assert_array_equal((beyond.low, beyond.high), (1, np.inf))


def test_implied_rank_limits() -> None:
    np.testing.assert_array_equal(theory.implied_rank(0.0, 10), np.inf)
    assert theory.implied_rank(0.9, 1).rank == pytest.approx(1)
    assert theory.implied_rank([0.1, 0.2], [[10], [20]]).rank.shape == (2, 2)


# Pooling


def test_pooled_reappearance_is_the_probability_of_any_match() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(40)
    hits = (rng.random((3000, 40, 5)) < p[:, None]).any(axis=-1).mean(axis=0)
    mine = theory.pooled_reappearance(p, 5)
    assert (np.abs(hits - mine) <= 5 * np.sqrt(mine * (1 - mine) / 3000) + 1e-9).all()
    assert mine.mean() < theory.pooled_reappearance(p.mean(), 5)  # Jensen
    np.testing.assert_array_equal(theory.pooled_reappearance([0, 0.3, 1], 0), 0)
    np.testing.assert_allclose(theory.pooled_reappearance([0, 0.3, 1], 1), [0, 0.3, 1])


def test_seeds_needed_reference() -> None:
    rank = np.array([2, 3, 4, 6, 8, 12, 16])
    mine = theory.seeds_needed(theory.coverage_a_priori(rank, 1000))
    # the notes print 105 for R = 16, from A_16 rounded to 8.8e-4: 105 seeds reach .94987
    np.testing.assert_array_equal(mine, [1, 2, 3, 5, 9, 31, 106])
    assert theory.seeds_needed(32 * 8.8e-4) == 105


@given(st.floats(1e-3, 1), st.floats(0.01, 0.99))
def test_seeds_needed_is_the_least(p: float, target: float) -> None:
    n = int(theory.seeds_needed(p, target))
    assert theory.pooled_reappearance(p, n) >= target - 1e-9
    assert n == 1 or theory.pooled_reappearance(p, n - 1) < target + 1e-9


def test_seeds_needed_limits() -> None:
    np.testing.assert_array_equal(theory.seeds_needed([0, 1, 0.95]), [np.inf, 1, 1])


D, LIVE = np.broadcast_to(np.eye(4), (2, 4, 4)), np.ones((2, 4), dtype=bool)
U = np.eye(4)[:, :2]
MC = theory.coverage_monte_carlo


BAD = [
    (lambda: theory.coverage_closed(-1, 4), "m"),
    (lambda: theory.coverage_closed(np.inf, 4), "m"),
    (lambda: theory.coverage_closed(3, 0), "rank"),
    (lambda: theory.coverage_independent(3, 4, 2), "theta"),
    (lambda: theory.coverage_a_priori(1.5, 4), "rank"),
    (lambda: theory.coverage_a_priori(4, -2), "latents_left"),
    (lambda: MC(D[:1], LIVE[:1], LIVE[:1], U), "directions"),
    (lambda: MC(D[0], LIVE, LIVE, U), "directions"),
    (lambda: MC(D[..., :3], LIVE, LIVE, U), "directions"),
    (lambda: MC(2 * D, LIVE, LIVE, U), "directions"),
    (lambda: MC(np.nan * D, LIVE, LIVE, U), "directions"),
    (lambda: MC(D, LIVE.T, LIVE, U), "live"),
    (lambda: MC(D, LIVE, LIVE[0], U), "members"),
    (lambda: MC(D, LIVE, LIVE, 2 * U), "basis"),
    (lambda: MC(D, LIVE, LIVE, U[:, :0]), "basis"),
    (lambda: MC(D, LIVE, LIVE, U, 1.2), "theta"),
    (lambda: MC(D, LIVE, LIVE, U, draws=0), "draws"),
    (lambda: theory.implied_rank(1.2, 4), "p"),
    (lambda: theory.implied_rank(0.2, 4, theta=0.0), "theta"),
    (lambda: theory.implied_rank(0.2, 4, interval=(0.3, 0.4)), "interval"),
    (lambda: theory.implied_rank(0.2, -4), "m"),
    (lambda: theory.pooled_reappearance(-0.1, 4), "p"),
    (lambda: theory.pooled_reappearance(0.1, 1.5), "n"),
    (lambda: theory.seeds_needed(0.5, 1.0), "target"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_an_error_names_the_argument(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.field == argument
