"""Near-copies in one SAE: what is joined, what is listed, and what each latent is called."""

import numpy as np
import pytest
from hypothesis import given
from planted_seeds import D, trained
from strategies import generators

from synthsae.geometry import haar, unit
from synthsae.metrics.alignment import identities, near_latents
from synthsae.metrics.consensus import consensus
from synthsae.metrics.near_copies import copy_of, join, joined_identities
from synthsae.metrics.verdicts import Verdict, verdicts

SAME = 0.9


def with_copies(rng, n_copies=3, spread=0.15, s=6):
    """Seeds of `trained` in which each of three features is `n_copies` latents; [s, M, D].

    Copies have cosines of about .98 with each other: closer than those of two seeds' copies.
    """
    x, features, bases = trained(rng, rank=3, s=s)
    noise = spread / np.sqrt(D) * rng.standard_normal((s, 3 * n_copies, D))
    more = unit(np.repeat(features[:3], n_copies, axis=0) + noise)
    own = (x @ features[:3].T).max(axis=2) > 0.99
    x = np.stack([rows[~mine] for rows, mine in zip(x, own, strict=True)])
    return np.concatenate([x, more], axis=1), features, bases


def test_groups_by_hand():
    angle = np.deg2rad([0, 10, 22, 100, 140, 260])
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)[None]
    every = np.ones((1, 6), dtype=bool)
    near = near_latents(x, every, SAME)
    joined = join(x, every, near, SAME)
    assert joined.leader.tolist() == [[1, 1, 1, 3, 4, 5]]  # 10 degrees is the middle one
    assert joined.at.tolist() == [1]
    np.testing.assert_allclose(joined.mean, unit(x[0, :3].sum(axis=0))[None])
    among = np.array([[True, False, True, True, True, False]])
    assert join(x, among, near, SAME).leader.tolist() == [[0, -1, 0, 3, 4, -1]]


def test_copies_of_a_listed_latent_by_hand():
    e = np.eye(4)
    x = np.array([[e[0], unit(e[0] + 0.2 * e[1]), e[2], -e[0], unit(e[0] + 0.3 * e[2])]])
    live = np.array([[True, True, True, True, False]])
    near = near_latents(x, live, 0.5)
    got = copy_of(np.array([[0], [-1]]), near, SAME, 5)
    assert got.tolist() == [[-1, 0, -1, -1, -1]]
    assert copy_of(np.array([[0], [1]]), near, SAME, 5).tolist() == [[-1] * 5]


@pytest.mark.parametrize(("s", "spread"), [(4, 0.06), (6, 0.15)])
def test_a_feature_with_near_copies_is_listed_once(s, spread):
    rng = np.random.default_rng(0)
    x, features, _ = with_copies(rng, spread=spread, s=s)
    alone = identities(x)
    near = (alone.direction @ features[:3].T).max(axis=1) > 0.95
    assert not (alone.p[near] < 0.01).any()  # without joining all three are lost
    found = consensus(x)
    listed = found.identities.direction[found.identity_q <= 0.05]
    assert sorted((listed @ features.T).argmax(axis=1)) == list(range(6))
    assert (listed @ features.T).max(axis=1).min() > 0.99
    what = verdicts(np.ones(x.shape[:2], dtype=bool), found, 0.05, SAME)
    assert ((what.code == Verdict.NEAR_COPY).sum(axis=1) == 6).all()
    assert ((what.code == Verdict.IDENTITY).sum(axis=1) == 6).all()
    for i, direction in enumerate(listed):
        mine = what.candidate == i
        assert set(mine.sum(axis=1)) <= {1, 3}
        assert ((x[mine] @ direction) > 0.95).all()
    s_at, m_at = np.nonzero(what.copy_of >= 0)
    central = found.identities.latents[what.candidate[s_at, m_at], s_at]
    np.testing.assert_array_equal(what.copy_of[s_at, m_at], central)


def test_two_features_that_every_seed_tells_apart_stay_two():
    rng = np.random.default_rng(1)
    x, features, _ = trained(rng, rank=3)
    twin = unit(features[0] + 0.3 * haar(D, rng)[0])
    assert twin @ features[0] > SAME
    noisy = unit(twin + 0.02 / np.sqrt(D) * rng.standard_normal((6, 1, D)))
    found = consensus(np.concatenate([x, noisy], axis=1))
    listed = found.identities.direction[found.identity_q <= 0.05]
    assert len(listed) == 7
    assert (listed @ twin).max() > 0.999


def test_p_of_joined_candidates_keeps_its_level():
    """Rings of latents in planes, closer than `SAME`, turned at random: p <= alpha in alpha."""
    rng, draws, wrong = np.random.default_rng(2), 150, {0.02: 0, 0.1: 0}
    m, s, tested = 18, 4, 0
    for _ in range(draws):
        turn = rng.uniform(0, 2 * np.pi, (s, 1)) + 2 * np.pi / m * np.arange(m)
        turn = turn + 0.03 * rng.standard_normal(turn.shape)
        x = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        live = np.ones((s, m), dtype=bool)
        near = near_latents(x, live, SAME)
        found = joined_identities(x, live, near, join(x, live, near, SAME))
        tested += len(found.p)
        for alpha in wrong:
            wrong[alpha] += (found.p <= alpha).sum()
    assert tested > draws
    hypotheses = draws * m
    assert all(count <= alpha * hypotheses for alpha, count in wrong.items())


def test_verdicts_by_hand():
    rng = np.random.default_rng(3)
    axes = haar(32, rng)
    s, wide = 5, 0.02 / np.sqrt(32)
    shared = axes[:4] + wide * rng.standard_normal((s, 4, 32))
    some = np.where(np.arange(s)[:, None, None] < 2, axes[4:5], axes[5:6] * 0)
    lone = np.stack([axes[6 + i : 7 + i] for i in range(s)])
    weak = unit(axes[12:13] + 0.25 / np.sqrt(32) * rng.standard_normal((s, 1, 32)))
    beside = unit(axes[12:13] + 0.7 * axes[13:14])[None].repeat(s, axis=0)
    beside = unit(beside + 0.25 / np.sqrt(32) * rng.standard_normal((s, 1, 32)))
    x = unit(np.concatenate([shared, some, lone, weak, beside], axis=1))
    live = x.any(axis=2)
    live[0, 0] = False
    found = consensus(x, live)
    what = verdicts(live, found, 0.05, SAME)
    assert what.code[0, 0] == Verdict.DEAD
    assert (what.code[1:, :4] == Verdict.IDENTITY).all()
    assert (what.code[:2, 4] == Verdict.TOO_FEW_SAES).all()
    assert (what.code[2:, 4] == Verdict.DEAD).all()
    assert (what.code[:, 5] == Verdict.NO_COUNTERPART).all()
    assert (what.code[:, 6:] == Verdict.IDENTITY_REJECTED).all()
    assert (what.q[:, 6:] > 0.05).all()
    assert np.isnan(what.q[what.code >= Verdict.NO_COUNTERPART]).all()


@given(generators())
def test_verdicts_are_consistent_and_follow_the_latents(rng):
    x, _, _ = with_copies(rng, n_copies=int(rng.integers(1, 4)), s=4)
    live = rng.random(x.shape[:2]) < 0.95
    what = verdicts(live, found := consensus(x, live), 0.05, SAME)
    n = (found.identity_q <= 0.05).sum()
    assert ((what.code == Verdict.DEAD) == ~live).all()
    assert ((what.code == Verdict.NEAR_COPY) == (what.copy_of >= 0)).all()
    on = (what.candidate >= 0) & (what.candidate < n)
    assert (on == np.isin(what.code, [Verdict.IDENTITY, Verdict.NEAR_COPY])).all()
    listed = np.isin(what.code, [Verdict.IDENTITY, Verdict.NEAR_COPY, Verdict.SUBSPACE])
    assert (what.q[listed] <= 0.05).all()
    rejected = np.isin(what.code, [Verdict.IDENTITY_REJECTED, Verdict.SUBSPACE_REJECTED])
    assert (what.q[rejected] > 0.05).all()
    order = np.stack([rng.permutation(x.shape[1]) for _ in x])
    at = np.arange(4)[:, None], order
    moved = verdicts(live[at], consensus(x[at], live[at]), 0.05, SAME)
    np.testing.assert_array_equal(moved.code, what.code[at])
