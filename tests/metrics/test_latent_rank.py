"""The rank of one latent: exact limits, invariances, and what its interval covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthsae.checks import ConfigError
from synthsae.geometry import haar, unit
from synthsae.metrics import latent_rank as module
from synthsae.metrics.latent_rank import latent_rank, set_rank


def turned(rank: int, n_seeds: int, rng: np.random.Generator, n_features: int = 6) -> np.ndarray:
    """Codes of 2R latents turned at random in R of 48 dimensions, then features, [S, M, 48]."""
    d = np.zeros((n_seeds, 2 * rank + n_features, 48))
    turns = haar(rank, rng, (n_seeds,))
    d[:, :rank, :rank], d[:, rank : 2 * rank, :rank] = turns, -turns
    d[:, 2 * rank :, rank : rank + n_features] = np.eye(n_features)
    return unit(d + 0.005 * rng.standard_normal(d.shape))


@pytest.mark.parametrize("rank", [2, 4, 8, 16])
def test_many_seeds_give_the_rank_and_features_are_1(rank: int) -> None:
    found = latent_rank(turned(rank, 60, np.random.default_rng(rank)))
    block = found.rank[:, : 2 * rank]
    assert abs(np.median(block) / rank - 1) < 0.15
    assert (found.rank[:, 2 * rank :] < 1.05).all()


def test_random_directions_exceed_no_background_and_dead_latents_are_nan() -> None:
    rng = np.random.default_rng(0)
    d = rng.standard_normal((12, 200, 24))
    live = np.ones((12, 200), bool)
    live[:, 0] = False
    found = latent_rank(d, live)
    assert np.median(found.rank[:, 1:]) > 20
    assert np.isnan([v[:, 0] for v in found]).all()


def test_two_seeds_have_no_interval() -> None:
    found = latent_rank(turned(4, 2, np.random.default_rng(1)))
    assert np.isfinite(found.rank).all()
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("n_seeds", [3, 8])
def test_the_interval_covers(n_seeds: int) -> None:
    rng = np.random.default_rng(n_seeds)
    for rank in (2, 4, 16):
        hit = []
        for _ in range(150):
            found = latent_rank(turned(rank, n_seeds, rng))
            hit.append((found.low[0, 0] <= rank) & (rank <= found.high[0, 0]))
        assert np.mean(hit) >= 0.9  # one latent a draw: latents of one code are not independent


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_rotations_scales_signs_and_orders_do_not_matter(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    d = turned(3, 4, rng)
    order, signs = rng.permutation(d.shape[1]), rng.choice([-scale, scale], (4, d.shape[1], 1))
    a, b = latent_rank(d), latent_rank((signs * d)[:, order] @ haar(48, rng))
    np.testing.assert_allclose(b.rank, a.rank[:, order], rtol=1e-4)
    np.testing.assert_allclose(b.high, a.high[:, order], rtol=1e-4)


def test_a_latent_has_the_sums_of_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, with so many other latents that the background counts, and in blocks of rows."""
    rng = np.random.default_rng(4)
    d = np.concatenate([turned(3, 3, rng)[..., :8], rng.standard_normal((3, 30, 8))], axis=1)
    d = unit(d)
    found = latent_rank(d)
    m = d.shape[1]
    random = [np.prod([(2 * k + 1) / (8 + 2 * k) for k in range(q)]) for q in (3, 4)]
    inside = 0
    for i in range(m):
        cos = d[1:].reshape(-1, 8) @ d[0, i]
        low, high = (
            (cos ** (2 * q)).sum() - 2 * m * r for q, r in zip((3, 4), random, strict=True)
        )
        want = np.clip(7 * low / high - 6, 1, 8) if min(low, high) > 0 else 8
        assert found.rank[0, i] == pytest.approx(want, rel=1e-3)
        inside += 1 < want < 8
    assert inside > 5
    monkeypatch.setattr(module, "BLOCK", 5)
    np.testing.assert_allclose(np.array(latent_rank(d)), np.array(found), rtol=1e-3)


def test_bad_input() -> None:
    with pytest.raises(ConfigError) as error:
        latent_rank(np.ones((1, 3, 4)))
    assert error.value.field == "directions"


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 99))
def test_tight_frames_have_exactly_the_rank_of_their_set(
    rank: int, n_seeds: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    d = np.zeros((n_seeds, 2 * rank + 3, 10))
    turns = haar(rank, rng, (n_seeds,))
    d[:, :rank, :rank], d[:, rank : 2 * rank, :rank] = 7 * turns, -turns
    d[:, 2 * rank :] = rng.standard_normal((n_seeds, 3, 10))
    members = np.arange(2 * rank + 3) < 2 * rank
    assert set_rank(d, np.tile(members, (n_seeds, 1))) == pytest.approx(rank)


@given(st.integers(2, 4), st.integers(0, 99))
def test_the_rank_of_a_set_is_one_over_the_mean_squared_cosine(n_seeds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, inside = rng.standard_normal((n_seeds, 7, 4)), rng.random((n_seeds, 7)) < 0.6
    inside[:2, 0] = True
    squares = [
        (unit(x) @ unit(y)) ** 2
        for a in range(n_seeds)
        for b in range(n_seeds)
        for x in d[a, inside[a]]
        for y in d[b, inside[b]]
        if a != b
    ]
    assert set_rank(d, inside) == pytest.approx(1 / np.mean(squares))
    assert set_rank(-d, inside) == pytest.approx(set_rank(d, inside))


def test_rotated_codes_of_any_shape_have_the_rank_in_expectation() -> None:
    rng, rank = np.random.default_rng(2), 5
    code = unit(rng.standard_normal((4, rank)) + 1)  # far from a tight frame
    seeds = code @ haar(rank, rng, (400,))
    assert set_rank(seeds, np.ones((400, 4), bool)) == pytest.approx(rank, rel=0.02)


def test_sets_without_pairs() -> None:
    d, one = np.eye(4)[[[0, 1], [2, 3]]], np.array([[True, True], [False, False]])
    assert np.isnan(set_rank(d, one))
    assert np.isinf(set_rank(d, np.ones((2, 2), bool)))
    with pytest.raises(ConfigError) as error:
        set_rank(d, one[0])
    assert error.value.field == "live"
