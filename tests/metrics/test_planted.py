import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from strategies import generators

from synthsae import geometry
from synthsae.metrics import activation, latent, planted
from synthsae.metrics.detection import Detection
from synthsae.metrics.shared import shared, shared_pair


def test_uniqueness_by_hand():
    features = np.eye(4)
    latents = np.array([[1, 0.1, 0, 0], [2, 0, 0, 0], [0, 0, 3, 0], [0, 0.2, -5, 0]])
    np.testing.assert_array_equal(planted.nearest_features(latents, features), [0, 0, 2, 1])
    np.testing.assert_array_equal(planted.nearest_features(latents, features, True), [0, 0, 2, 2])
    assert planted.uniqueness(latents, features) == 0.75
    assert planted.uniqueness(latents, features, absolute=True) == 0.5
    assert planted.uniqueness(np.zeros((0, 4)), features) == 0


@given(generators())
def test_uniqueness_is_invariant_and_at_most_one_feature_each(rng):
    latents, features = rng.standard_normal((9, 5)), rng.standard_normal((4, 5))
    u = planted.uniqueness(latents, features)
    scaled = rng.permutation(latents) * rng.uniform(0.1, 9, (9, 1))
    assert planted.uniqueness(scaled, rng.permutation(features)) == u
    assert 0 < u <= 4 / 9
    assert planted.uniqueness(features, features) == 1


@given(generators(), st.integers(1, 29))
def test_detection_equals_scikit_learn_and_adds_up(rng, cut):
    codes = rng.standard_normal((30, 5)) * (rng.random((30, 5)) < 0.4)
    truth = np.maximum(rng.standard_normal((30, 3)), 0)
    codes[:, 4] = 0
    nearest = rng.integers(0, 3, 5)
    parts = (slice(cut), slice(cut, None))
    d = sum(
        (Detection.of(codes[p], truth[p], nearest) for p in parts[1:]),
        Detection.of(codes[parts[0]], truth[parts[0]], nearest),
    )
    for i in range(5):
        fires, there = codes[:, i] != 0, truth[:, nearest[i]] > 0
        for got, want in (
            (d.precision, precision_score(there, fires, zero_division=0)),
            (d.recall, recall_score(there, fires, zero_division=0)),
            (d.f1, f1_score(there, fires, zero_division=0)),
            (d.accuracy, accuracy_score(there, fires)),
        ):
            assert got[i] == pytest.approx(want)


def test_detection_by_hand():
    codes = np.array([[1, 0], [-1, 0], [0, 0], [0, 0], [2, 0.0]])
    truth = np.array([[1.0], [0], [3], [0], [2]])
    d = Detection.of(codes, truth, [0, 0])
    np.testing.assert_array_equal(d.true_positive, [2, 0])
    np.testing.assert_array_equal(d.false_positive, [1, 0])
    np.testing.assert_array_equal(d.false_negative, [1, 3])
    np.testing.assert_array_equal(d.true_negative, [1, 2])
    np.testing.assert_allclose(d.precision, [2 / 3, 0])
    np.testing.assert_allclose(d.recall, [2 / 3, 0])
    np.testing.assert_allclose(d.f1, [2 / 3, 0])
    np.testing.assert_allclose(d.accuracy, [0.6, 0.4])
    stack = Detection.of(np.stack([codes, 0 * codes]), np.stack([truth, truth]), [0, 0])
    np.testing.assert_allclose(stack.recall, [[2 / 3, 0], [0, 0]])


def test_a_feature_reappears_if_its_latent_does():
    features = np.eye(4)[:3]
    d = np.array([np.eye(4)[[2, 0, 3]], np.eye(4)[[0, 2, 1]]])
    p = np.array([[0.5, 1, 0.25], [0.75, 0.1, 0.2]])
    got = planted.feature_reappearance(d, features, p)
    np.testing.assert_array_equal(got, [[1, 0, 0.5], [0.75, 0.2, 0.1]])
    live = np.array([[True, False, True], [True] * 3])
    got = planted.feature_reappearance(d, features, np.where(live, p, np.nan), live)
    np.testing.assert_array_equal(got, [[0, 0, 0.5], [0.75, 0.2, 0.1]])
    near = d + 0.9 * np.eye(4)[3]  # cosine .743 to the features
    np.testing.assert_array_equal(
        planted.feature_reappearance(near, features, p)[1], [0.75, 0.2, 0.1]
    )
    np.testing.assert_array_equal(
        planted.feature_reappearance(near, features, p, theta=0.75)[1], [0, 0, 0]
    )


def test_shared_needs_both_sides_to_agree():
    e = np.eye(5)
    dec_b, enc_b = e[[1, 0, 2, 3, 4]], e[[1, 0, 2, 4, 3]]
    want = [True, True, True, False, False]  # 3 and 4 are swapped in the encoder alone
    np.testing.assert_array_equal(shared_pair(e, e, dec_b, enc_b), want)
    np.testing.assert_array_equal(shared_pair(e, e, dec_b, -enc_b), [False] * 5)
    blurred = enc_b + 1.1 * np.roll(e, 2, axis=0)
    assert not shared_pair(e, e, dec_b, blurred, theta=0.9).any()
    np.testing.assert_array_equal(
        shared_pair(e, e, e[2:3], e[2:3]), [False, False, True, False, False]
    )


@given(generators())
def test_shared_counts_are_symmetric_and_dead_latents_are_not_shared(rng):
    dec = rng.standard_normal((6, 4)) + 0.4 * rng.standard_normal((3, 6, 4))
    enc = dec + 0.4 * rng.standard_normal((3, 6, 4))
    live = rng.random((3, 6)) < 0.8
    got = shared(dec, enc, 0.5, live)
    counts = got.sum(axis=2)
    np.testing.assert_array_equal(counts, counts.T)
    np.testing.assert_array_equal(np.diagonal(got).T, live)
    assert not (got & ~live[:, None]).any()
    decoders_alone = shared(dec, dec, 0.5, live)
    assert (got <= decoders_alone).all()
    rows, _, c = latent.match(dec[0, live[0]], dec[1, live[1]])
    assert decoders_alone[0, 1].sum() == np.sum(c >= 0.5)
    assert len(rows) == min(live[0].sum(), live[1].sum())


@given(generators())
def test_correlations_equal_numpy(rng):
    a, b = rng.standard_normal((25, 4)), rng.standard_normal((25, 3))
    want = np.corrcoef(a.T, b.T)[:4, 4:]
    np.testing.assert_allclose(activation.correlations(a, b), want, atol=1e-12)
    np.testing.assert_allclose(activation.correlations(a, b, True), np.abs(want), atol=1e-12)
    np.testing.assert_allclose(activation.correlations(3 * a + 7, b), want, atol=1e-12)


def test_activation_matching_finds_a_permutation():
    rng = np.random.default_rng(0)
    codes = np.maximum(rng.standard_normal((200, 6)), 0)
    order = rng.permutation(6)
    other = 2 * codes[:, order] + 0.05 * rng.random((200, 6))
    rows, cols, c = activation.match_activations(other, codes)
    np.testing.assert_array_equal(rows, np.arange(6))
    np.testing.assert_array_equal(cols, order)
    assert c.min() > 0.99
    codes[:, 0] = 0.1  # constant: dead, or always on
    assert (activation.correlations(codes, codes)[0] == 0).all()
    assert (activation.correlations(codes + 1e9, codes)[0] == 0).all()


def test_directions_and_activations_may_disagree():
    """Rotated decoders that fire together: one measure is 1 where the other is not."""
    rng = np.random.default_rng(0)
    codes = np.maximum(rng.standard_normal((300, 4)), 0)
    a, b = np.eye(4), geometry.haar(4, rng)
    assert activation.match_activations(codes, codes)[2].min() == pytest.approx(1)
    assert latent.matched_cosines(a, b).min() < 0.95
