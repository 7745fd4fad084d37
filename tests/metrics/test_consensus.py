"""Which latents and subspaces come back: against simulated codes, whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from planted_seeds import D, trained
from scipy.stats import false_discovery_control
from strategies import generators, stacks

from synthsae import geometry
from synthsae.metrics import alignment, consensus, subspace


def polygons(rng, s, m, n=1):
    """n planes with an m-gon of latents in each, turned at random in every seed, [s, n m, 2 n]."""
    turn = rng.uniform(0, 2 * np.pi, (s, n, 1)) + 2 * np.pi / m * np.arange(m)
    x = np.zeros((s, n, m, n, 2))
    for g in range(n):
        x[:, g, :, g] = np.stack([np.cos(turn[:, g]), np.sin(turn[:, g])], axis=-1)
    return x.reshape(s, n * m, 2 * n)


@pytest.mark.parametrize("m", [3, 4, 6])
@pytest.mark.parametrize("s", [2, 3, 4, 7])
def test_p_is_exact_for_polygons(m, s):
    """p over the number of majorities is uniform up to q = 1/2, within Monte Carlo error."""
    rng, draws = np.random.default_rng(10 * m + s), 600
    x = polygons(rng, s, m, draws)
    p = np.ones(draws)
    for g in range(draws):
        found = alignment.identities(x[:, g * m : (g + 1) * m, 2 * g : 2 * g + 2], tight=0)
        if len(found.p) and (found.latents[0] >= 0).all():
            p[g] = found.p[0] / (s - s // 2)
    for alpha in (0.01, 0.03):
        error = np.sqrt(alpha * (1 - alpha) / draws)
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=4 * error)


def test_chance_alignment_by_hand():
    got = alignment.chance_alignment(0.1, 1.0, [4, 3, 2, 1], 4)
    exact = [2 * 4 * 0.1**3, 2 * 4 * (3 * 0.1**2 * 0.9 + 0.1**3), 1, 1]
    np.testing.assert_allclose(got, exact)
    assert alignment.chance_alignment(0, 1, 3, 3) == 0
    assert alignment.chance_alignment(0, 0, 3, 3) == 1  # a latent and its double say nothing
    assert alignment.chance_alignment(5, 1, 3, 3) == 1


def test_identities_by_hand():
    e = np.eye(5)
    tilted = geometry.unit(e[0] + 0.1 * e[1])
    x = np.array([[e[0], e[2], e[3]], [e[4], tilted, e[3]], [e[3], e[0], -e[2]]])
    live = np.ones((3, 3), dtype=bool)
    live[1, 2] = False
    found = alignment.identities(x, live)
    assert found.latents.tolist() == [[2, -1, 0], [0, 1, 1]]  # e3 without its dead twin; e0
    np.testing.assert_allclose(found.direction[0], e[3])
    np.testing.assert_allclose(found.direction[1], geometry.unit(2 * e[0] + tilted))
    np.testing.assert_allclose(found.angle, [0, np.arctan(0.1)], atol=1e-7)
    np.testing.assert_allclose(found.spacing[1], np.pi / 2)
    want = alignment.chance_alignment(found.angle, found.spacing, [2, 3], 3)
    np.testing.assert_allclose(found.p, want)
    assert len(alignment.identities(x[:2] * np.array([[[1]], [[-1]]])).p) == 0  # signed


def test_latents_in_a_plane_are_stable_but_not_identifiable():
    """p_hat is 1 for all, and few are listed: fewer than a share alpha of the latents."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(40):
        x, features, _ = trained(rng, rank=2, n_features=4)
        found = consensus.consensus(x)
        near = (found.identities.direction @ features.T).max(axis=1) > 0.99
        assert near[found.identity_q <= 0.05].sum() == 4
        wrong += (~near & (found.identities.p <= 0.05)).sum()
    assert wrong <= 0.05 * 40 * 12


@pytest.mark.parametrize("rank", [2, 3, 5, 8])
def test_planted_subspaces_are_listed_with_their_rank(rank):
    rng = np.random.default_rng(rank)
    x, features, bases = trained(rng, rank, s=8)
    found = consensus.consensus(x)
    assert (found.subspace_q <= 0.05).tolist() == [True] * 3 + [False] * (len(found.subspaces) - 3)
    for space in found.subspaces[:3]:
        assert (space.rank_low, space.rank, space.rank_high) == (rank, rank, rank)
        assert space.found == 8
        assert (space.members.sum(axis=1) == 2 * rank).all()
        assert max(subspace.overlap(space.span, u) for u in bases) > 0.99
        np.testing.assert_allclose(space.span.T @ space.span, np.eye(rank), atol=1e-9)
    listed = found.identities.direction[found.identity_q <= 0.05]
    assert sorted((listed @ features.T).argmax(axis=1)) == list(range(6))


def test_a_world_without_blocks_has_no_subspaces():
    rng = np.random.default_rng(1)
    listed = 0
    for _ in range(40):
        features = geometry.haar(D, rng)[:10]
        x = np.repeat(features[None], 5, axis=0) + 0.01 * rng.standard_normal((5, 10, D))
        lost = rng.standard_normal((5, 15, D))  # latents on noise
        found = consensus.consensus(np.concatenate([x, lost], axis=1))
        assert (found.identity_q <= 0.05).sum() == 10
        listed += (found.subspace_q <= 0.05).any()
    assert listed <= 0.05 * 40


def test_few_seeds_list_little_and_nothing_wrong():
    """Two seeds cannot tell a part of a block from the whole: nothing wrong is listed at 95%."""
    rng, wrong, total = np.random.default_rng(3), 0, 0
    for s in (2, 3, 4):
        for rank in (3, 6):
            for _ in range(6):
                x, _, bases = trained(rng, rank, s=s)
                found = consensus.consensus(x)
                kept = [
                    c for c, q in zip(found.subspaces, found.subspace_q, strict=True) if q <= 0.05
                ]
                same = [max(subspace.overlap(c.span, u) for u in bases) > 0.9 for c in kept]
                wrong, total = wrong + same.count(False), total + len(same)
    assert total > 20
    assert wrong <= 0.05 * total


def test_a_candidate_without_one_seed_has_minus_one_there():
    rng = np.random.default_rng(4)
    x, features, _ = trained(rng, 2, s=8)
    live = np.ones(x.shape[:2], dtype=bool)
    live[3, (x[3] @ features[0]).argmax()] = False
    found = consensus.consensus(x, live)
    i = (found.identities.direction @ features[0]).argmax()
    assert found.identities.latents[i, 3] == -1
    assert (found.identities.latents[i] >= 0).sum() == 7
    assert found.identity_q[i] < 0.05


@given(stacks(n_seeds=3))
def test_candidates_are_consistent(drawn):
    x, live, _ = drawn
    found = alignment.identities(x, live)
    d = geometry.unit(x)
    for row, angle in zip(found.latents, found.angle, strict=True):
        (at,) = np.nonzero(row >= 0)
        assert live[at, row[at]].all()
        c = d[at, row[at]] @ d[at, row[at]].T
        assert np.arccos(np.clip(c.min(), -1, 1)) == pytest.approx(angle, abs=1e-6)
    assert (np.diff(found.p) >= 0).all()
    used = [(s, j) for row in found.latents for s, j in enumerate(row) if j >= 0]
    assert len(used) == len(set(used))


@given(generators())
def test_order_of_seeds_and_latents_does_not_matter(rng):
    x, _, _ = trained(rng, rank=int(rng.integers(2, 5)), s=4)
    live = rng.random(x.shape[:2]) < 0.95
    seeds = rng.permutation(4)
    latents = np.stack([rng.permutation(x.shape[1]) for _ in range(4)])
    moved = x[seeds][np.arange(4)[:, None], latents]
    a = consensus.consensus(x, live)
    b = consensus.consensus(moved, live[seeds][np.arange(4)[:, None], latents])
    np.testing.assert_allclose(b.identity_q, a.identity_q, rtol=1e-6)
    np.testing.assert_allclose(b.subspace_q, a.subspace_q, rtol=1e-6)
    for one, other in zip(a.subspaces, b.subspaces, strict=True):
        same = one.members[seeds][np.arange(4)[:, None], latents]
        assert one.rank == other.rank
        if one.p < 1:
            np.testing.assert_array_equal(same, other.members)
            assert subspace.overlap(one.span, other.span) == pytest.approx(1)
    for row, other in zip(a.identities.latents, b.identities.latents, strict=True):
        back = [latents[i][j] if j >= 0 else -1 for i, j in enumerate(other)]
        assert back == row[seeds].tolist()


def test_q_counts_every_latent_as_a_hypothesis():
    rng = np.random.default_rng(5)
    x, _, _ = trained(rng, 3, s=3)
    found = consensus.consensus(x)
    p = np.ones(x.shape[1])
    p[: len(found.identities.p)] = found.identities.p
    want = false_discovery_control(p)[: len(found.identities.p)]
    np.testing.assert_allclose(found.identity_q, want)


def test_without_live_latents_the_lists_are_empty():
    found = consensus.consensus(np.ones((3, 4, 5)), np.zeros((3, 4), dtype=bool))
    assert len(found.identity_q) == len(found.subspaces) == len(found.subspace_q) == 0


def test_a_table_without_candidates_can_be_an_index():
    latents = consensus.consensus(np.eye(4).reshape(2, 2, 4)).identities.latents
    assert latents.shape == (0, 2)
    assert latents.dtype.kind == "i"


def test_identical_seeds_agree_on_every_latent():
    x = np.random.default_rng(0).standard_normal((1, 20, 16)).repeat(4, axis=0)
    found = consensus.consensus(x)
    assert (found.identity_q == 0).sum() == 20
    assert found.subspaces == []
    subspaces = consensus.subspaces(
        geometry.unit(x), np.ones((4, 20), dtype=bool)
    )  # the graph of twenty cliques of four has no cut
    assert all(c.rank <= 8 for c in subspaces)
