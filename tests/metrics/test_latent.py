import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from strategies import stacks

from synthsae import geometry
from synthsae.metrics import activation, latent, planted

signs = st.booleans()


@given(stacks(), signs)
def test_cosines_equal_scikit_learn(stack, absolute):
    (a, b, _), _, _ = stack
    want = cosine_similarity(a, b)
    np.testing.assert_allclose(
        latent.cosines(a, b, absolute), np.abs(want) if absolute else want, atol=1e-12
    )


def test_cosines_by_hand():
    a = [[3, 0], [0, -2], [0, 0]]
    b = [[1, 1], [0, 5], [-4, 0]]
    h = np.sqrt(0.5)
    np.testing.assert_allclose(
        latent.cosines(a, b), [[h, 0, -1], [-h, -1, 0], [0, 0, 0]], atol=1e-15
    )
    np.testing.assert_allclose(latent.max_cosines(a, b), [h, 0, 0], atol=1e-15)
    np.testing.assert_allclose(latent.max_cosines(a, b, absolute=True), [1, 1, 0], atol=1e-15)
    assert latent.mmcs(a, b) == pytest.approx(h / 3)
    assert latent.mmcs(b, a) == pytest.approx((h + 0 + 0) / 3)


def test_leading_dimensions_broadcast():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 3, 5, 7)), rng.standard_normal((3, 6, 7))
    c = latent.cosines(a, b)
    assert c.shape == (4, 3, 5, 6)
    np.testing.assert_allclose(c[2, 1], latent.cosines(a[2, 1], b[1]))
    np.testing.assert_allclose(latent.max_cosines(a, b)[2, 1], c[2, 1].max(axis=1))


@given(stacks(n_seeds=2), signs)
def test_rescaling_permuting_and_rotating_change_nothing(stack, absolute):
    x, live, rng = stack
    _, m, d = x.shape
    order, q = rng.permutation(m), geometry.haar(d, rng)
    y = x[:, order] * rng.uniform(0.01, 100, (2, m, 1)) @ q
    for measure in (latent.mcc, latent.mmcs):
        assert measure(*y, absolute) == pytest.approx(measure(*x, absolute), abs=1e-9)
    for measure, rounding in ((latent.pairwise_mcc, 1e-9), (latent.pairwise_mmcs, 1e-6)):
        np.testing.assert_allclose(
            measure(y, live[:, order], absolute), measure(x, live, absolute), atol=rounding
        )


@given(stacks(n_seeds=2, most=5), st.integers(0, 4), signs)
def test_match_is_the_best_of_all_assignments(stack, dropped, absolute):
    (a, b), _, _ = stack
    b = b[: max(1, len(b) - dropped)]
    c = latent.cosines(a, b, absolute)
    best = max(
        sum(c[i, j] for j, i in enumerate(rows))
        for rows in itertools.permutations(range(len(a)), len(b))
    )
    rows, cols, cosine = latent.match(a, b, absolute)
    assert cosine.sum() == pytest.approx(best)
    assert len(rows) == len(b) == len(set(rows)) == len(set(cols))
    np.testing.assert_array_equal(cosine, c[rows, cols])
    np.testing.assert_array_equal(latent.matched_cosines(a, b, absolute), cosine)


def test_a_planted_permutation_is_found():
    rng = np.random.default_rng(0)
    features = geometry.haar(10, rng)
    order = rng.permutation(10)
    rows, cols, cosine = latent.match(2.0 * features[order], features)
    np.testing.assert_array_equal(rows, np.arange(10))
    np.testing.assert_array_equal(cols, order)
    np.testing.assert_allclose(cosine, 1)


def test_mcc_counts_features_without_a_latent_as_zero():
    features = np.eye(4)
    assert latent.mcc(features[:3], features) == pytest.approx(0.75)
    assert latent.mcc(np.eye(4)[[0, 1, 2, 3, 3, 3]], features) == pytest.approx(1)
    assert latent.mcc(-features, features) == 0
    assert latent.mcc(-np.eye(2), np.eye(2), absolute=True) == pytest.approx(1)
    assert latent.mcc([[-1.0, 0]], [[1.0, 0]]) == pytest.approx(-1)
    assert latent.mcc(np.zeros((0, 4)), features) == 0


def test_mcc_of_the_song_toy_at_chance():
    """Hungarian mean of 32 random directions in R^16: .454 signed, .520 absolute (science.md)."""
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((200, 2, 32, 16))
    assert np.mean([latent.mcc(*p) for p in pairs]) == pytest.approx(0.454, abs=0.004)
    assert np.mean([latent.mcc(*p, absolute=True) for p in pairs]) == pytest.approx(
        0.520, abs=0.004
    )


@given(stacks(), signs)
def test_pairwise_scores_are_those_of_the_live_rows(stack, absolute):
    x, live, _ = stack
    pw, mm = latent.pairwise_mcc(x, live, absolute), latent.pairwise_mmcs(x, live, absolute)
    np.testing.assert_array_equal(pw, pw.T)
    for s, t in itertools.product(range(3), repeat=2):
        a, b = x[s, live[s]], x[t, live[t]]
        if s == t or not (len(a) and len(b)):
            assert np.isnan(pw[s, t])
            assert np.isnan(mm[s, t])
        else:
            assert pw[s, t] == pytest.approx(latent.matched_cosines(a, b, absolute).mean())
            assert mm[s, t] == pytest.approx(latent.cosines(a, b, absolute).max(axis=1).mean())
            assert -1 <= pw[s, t] <= 1
            if len(a) <= len(b):
                assert pw[s, t] <= mm[s, t] + 1e-6  # one-to-one cannot beat many-to-one


def test_pairwise_mcc_by_hand():
    x = np.array([[[1, 0], [0, 1]], [[0, 2], [1, 0]], [[-1, 0], [0, 1]]], dtype=float)
    nan = np.nan
    np.testing.assert_allclose(
        latent.pairwise_mcc(x), [[nan, 1, 0], [1, nan, 0], [0, 0, nan]], atol=1e-15
    )
    live = np.array([[True, True], [True, True], [False, True]])
    np.testing.assert_allclose(latent.pairwise_mcc(x, live)[2], [1, 1, nan], atol=1e-15)
    np.testing.assert_allclose(latent.pairwise_mcc(x, absolute=True)[0, 2], 1)


def test_summary_by_hand():
    s = latent.summarise([0.1, 0.9, 0.95, 0.2], quantiles=(0, 1), threshold=0.9)
    assert (s.n, s.share) == (4, 0.5)
    assert s.mean == pytest.approx(0.5375)
    assert s.median == pytest.approx(0.55)
    np.testing.assert_allclose(s.quantiles, [0.1, 0.95])


def test_scores_of_empty_sets_are_defined():
    none, some = np.zeros((0, 3)), np.eye(3)
    assert latent.cosines(none, some).shape == (0, 3)
    np.testing.assert_array_equal(latent.max_cosines(some, none), np.zeros(3), strict=True)
    assert latent.matched_cosines(some, none).shape == (0,)
    assert np.isnan(latent.mmcs(none, some))
    assert latent.mmcs(some, none) == 0
    assert np.isnan(latent.pairwise_mcc(np.ones((2, 3, 4)), np.zeros((2, 3), bool))).all()
    assert latent.summarise([])[0] == 0
    assert np.isnan(latent.summarise([]).mean)
    np.testing.assert_array_equal(latent.cosines(np.zeros((2, 3)), some), 0)


def test_signed_is_the_default():
    e = np.eye(2)
    np.testing.assert_array_equal(latent.cosines(e, -e), -e)
    np.testing.assert_array_equal(latent.max_cosines(e[:1], -e[:1]), [-1])
    np.testing.assert_array_equal(latent.match(e[:1], -e[:1])[2], [-1])
    np.testing.assert_array_equal(latent.matched_cosines(e[:1], -e[:1]), [-1])
    assert latent.mmcs(e[:1], -e[:1]) == latent.mcc(e[:1], -e[:1]) == -1
    pair = np.stack([e[:1], -e[:1]])
    assert latent.pairwise_mcc(pair)[0, 1] == latent.pairwise_mmcs(pair)[0, 1] == -1
    assert latent.reappearance(pair).max() == 0
    assert activation.correlations(e[:, :1], -e[:, :1])[0, 0] == pytest.approx(-1)
    assert activation.match_activations(e[:, :1], -e[:, :1])[2][0] == pytest.approx(-1)
    np.testing.assert_array_equal(planted.nearest_features(e, [[-1, 0], [0.1, 0.1]]), [1, 1])
    assert planted.uniqueness(e, [[-1, 0], [0.1, 0.1]]) == 0.5
