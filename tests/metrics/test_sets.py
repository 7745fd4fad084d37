import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.sparse import coo_array
from strategies import generators

from synthsae import geometry
from synthsae.metrics import groups, pairs, rank, subspace, transfer
from synthsae.metrics.conductance import connected, least_conductance, split_graph


@given(generators(), st.integers(1, 9), st.integers(1, 9))
def test_rank_measures_are_bounded_and_invariant(rng, n, d):
    x = rng.standard_normal((n, d))
    y = rng.permutation(x) * rng.uniform(0.1, 9, (n, 1)) @ geometry.haar(d, rng)
    for measure in (rank.effective_rank, rank.participation_ratio):
        assert 1 - 1e-9 <= measure(x) <= min(n, d) + 1e-9
        assert measure(y) == pytest.approx(measure(x))
    assert rank.participation_ratio(x) <= rank.effective_rank(x) + 1e-9
    s = np.linalg.svd(geometry.unit(x), compute_uv=False)
    p = s / s.sum()
    assert rank.effective_rank(x) == pytest.approx(np.exp(-np.sum(p * np.log(p))))
    assert rank.participation_ratio(x) == pytest.approx(n**2 / np.sum(s**4))


def test_rank_measures_by_hand():
    x = np.eye(6)[[0, 0, 0, 0, 1]]  # s = 2, 1
    entropy = -(2 / 3) * np.log(2 / 3) - np.log(1 / 3) / 3
    assert rank.effective_rank(x) == pytest.approx(np.exp(entropy))
    assert rank.participation_ratio(x) == pytest.approx(25 / 17)
    for measure in (rank.effective_rank, rank.participation_ratio):
        assert measure(np.eye(6)[:4] * 3) == pytest.approx(4)
        assert measure(np.zeros((3, 5))) == 0
        assert measure(np.zeros((0, 5))) == 0
        np.testing.assert_allclose(measure(np.stack([x, np.eye(6)[:5]]))[1], 5)
        np.testing.assert_array_equal(measure(np.zeros((2, 0, 5))), np.zeros(2), strict=True)
    assert rank.iid_participation_ratio(3, 1) == rank.iid_participation_ratio(1, 3) == 1


@pytest.mark.parametrize(
    ("n", "want"), [(500, 0.584), (1000, 0.872), (2000, 0.946), (4000, 0.975), (16384, 0.994)]
)
def test_iid_effective_rank_of_the_reference(n, want):
    assert round(rank.iid_effective_rank(n, 768) / 768, 3) == want


@pytest.mark.parametrize(("n", "d"), [(10, 10), (16, 16), (64, 16), (10, 40), (120, 60)])
def test_iid_ranks_against_simulation(n, d):
    x = np.random.default_rng(n).standard_normal((300, n, d))
    seen = rank.effective_rank(x)
    error = seen.std() / 300**0.5  # and about .05 for so few rows
    assert abs(seen.mean() - rank.iid_effective_rank(n, d)) <= 0.06 + 4 * error
    seen = rank.participation_ratio(x)
    error = seen.std() / 300**0.5
    assert abs(seen.mean() - rank.iid_participation_ratio(n, d)) <= 4 * error + 4 / max(n, d)


@pytest.mark.parametrize(("n", "d"), [(768, 768), (767, 768), (3000, 1000), (16, 1000)])
def test_iid_effective_rank_by_adaptive_quadrature(n, d):
    root = np.sqrt(min(n, d) / max(n, d))
    low, width = (1 - root) ** 2, 4 * root

    def moment(f):
        def density(t):
            x = low + width * np.cos(t / 2) ** 2
            return np.sin(t) ** 2 / x * f(np.sqrt(x))

        breaks = [np.pi - 1e-3, np.pi - 1e-2, np.pi - 0.1]
        return integrate.quad(density, 0, np.pi, points=breaks, limit=400, epsabs=1e-12)[0]

    one, mean = moment(lambda s: 1.0), moment(lambda s: s)
    log = moment(lambda s: s * np.log(s))
    expected = min(n, d) * np.exp(np.log(mean / one) - log / mean)
    assert rank.iid_effective_rank(n, d) == pytest.approx(expected, rel=2e-6)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_iid_ranks_are_bounded_and_symmetric(n, d):
    fills = rank.iid_effective_rank(n, d)
    assert 0.8 * min(n, d) <= fills <= min(n, d) * (1 + 1e-9)  # .8050 at n = d is the least
    assert fills == rank.iid_effective_rank(d, n)
    assert 1 <= rank.iid_participation_ratio(n, d) <= min(n, d) * (1 + 1e-9)


@pytest.mark.parametrize("shape", [(90, 20), (20, 20), (15, 20)])
@pytest.mark.parametrize("low", [1.0, 0.1, 2e-3, 1e-5, 0.0])
def test_singular_values_of_many_rows_are_those_of_the_svd(shape, low, monkeypatch):
    """Also where squares lose the small ones: for those the SVD itself is taken."""
    monkeypatch.setattr(rank, "MANY", 1)
    x = np.random.default_rng(0).standard_normal((2, *shape)) * np.geomspace(1, max(low, 1e-9), 20)
    x[..., 12:] *= low > 0
    _, want, axes = np.linalg.svd(x, full_matrices=False)
    values, found = rank.singular(x)
    np.testing.assert_allclose(values, want, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(np.abs((found * axes).sum(axis=-1))[:, :12], 1, atol=1e-8)
    s = np.linalg.svd(geometry.unit(x), compute_uv=False)
    p = np.maximum(s / s.sum(axis=-1, keepdims=True), 1e-300)
    np.testing.assert_allclose(rank.effective_rank(x), np.exp(-np.sum(p * np.log(p), axis=-1)))
    source, target = x[0], x[1]
    before = np.cumsum(np.mean((geometry.unit(target) @ _svd_axes(source).T) ** 2, axis=0))
    np.testing.assert_allclose(
        transfer.transfer_curve(source, target)[1 : len(before) + 1], before, atol=1e-8
    )


def _svd_axes(source):
    _, s, axes = np.linalg.svd(geometry.unit(source), full_matrices=False)
    return axes[s > s[0] * max(source.shape) * np.finfo(float).eps]


def test_targets_add_up():
    a, b, c = np.random.default_rng(0).standard_normal((3, 30, 8))
    both = [transfer.target_of(x) for x in (b, c)]
    together = transfer.Target(both[0].energy + both[1].energy, 60)
    want = transfer.transfer_curve(a, np.concatenate([b, c]))
    np.testing.assert_allclose(transfer.transfer_curve(a, together), want, atol=1e-12)


@given(generators(), st.integers(1, 9), st.integers(1, 6), st.integers(2, 7))
def test_transfer_is_the_energy_in_the_top_subspace(rng, n, m, d):
    source, target = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    curve = transfer.transfer_curve(source, target)
    assert curve.shape == (d + 1,)
    for r in range(1, min(n, d) + 1):
        span = subspace.learned_span(source, r)
        assert curve[r] == pytest.approx(subspace.block_energy(target, span).mean())
    assert curve[0] == 0
    assert (np.diff(curve) >= -1e-12).all()
    np.testing.assert_allclose(curve[min(n, d) :], curve[min(n, d)])
    q = geometry.haar(d, rng)
    scale = rng.uniform(0.1, 9, (n, 1))
    np.testing.assert_allclose(
        transfer.transfer_curve(source @ q, target @ q * 4), curve, atol=1e-9
    )
    assert transfer.transfer_curve(source * scale, target)[-1] == pytest.approx(curve[-1])


def test_transfer_within_a_block_and_its_nulls():
    rng = np.random.default_rng(0)
    d, r = 20, 4
    q = geometry.haar(d, rng)
    block, rest = q[:, :r], q[:, r:]
    source, target = (rng.standard_normal((30, r)) @ block.T for _ in range(2))
    curve = transfer.transfer_curve(source, target)
    assert curve[r] == pytest.approx(1)
    assert curve[-1] == pytest.approx(1)
    null = transfer.random_transfer(target, rng, draws=300)
    error = null.std(axis=0) / np.sqrt(300)
    np.testing.assert_array_less(
        np.abs(null.mean(axis=0) - np.arange(d + 1) / d), 4 * error + 1e-12
    )
    np.testing.assert_allclose(null[:, -1], 1)
    pool = rng.standard_normal((40, d - r)) @ rest.T
    np.testing.assert_allclose(transfer.matched_transfer(pool, target, 30, rng, 3), 0, atol=1e-12)
    same = transfer.matched_transfer(source, target, len(source), rng, 2)
    np.testing.assert_allclose(same, [curve, curve], atol=1e-12)
    few = transfer.matched_transfer(source, target, 2, rng, 5)
    assert few.shape == (5, d + 1)
    assert few[:, -1].max() < 1
    np.testing.assert_array_equal(transfer.transfer_curve(source[:0], target), 0)


def test_chance_cosine_is_the_stated_error_rate():
    rng = np.random.default_rng(0)
    n, d, draws, alpha = 20, 10, 2000, 0.1
    x = geometry.unit(rng.standard_normal((draws, n, d)))
    top = np.abs(x @ x.mT * (1 - np.eye(n))).max(axis=(1, 2))
    rate = np.mean(top >= groups.chance_cosine(n, d, alpha))
    assert rate == pytest.approx(0.095, abs=0.02)  # Bonferroni: a little below alpha
    assert groups.chance_cosine(2, 2, 0.5) == pytest.approx(np.sqrt(0.5))  # P(|cos| > c) = 1/2


def test_components_by_hand(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 2)
    e = np.eye(4)
    x = geometry.unit([e[3], e[0], e[1], e[0] + e[1], -e[0], e[2], 5 * e[3] + e[0]])

    def components(threshold):
        return sorted(c.tolist() for c in connected(pairs.similarity_graph(x, threshold)))

    assert components(0.7) == [[0, 6], [1, 2, 3, 4], [5]]
    assert components(0.72) == [[0, 6], [1, 4], [2], [3], [5]]
    assert connected(pairs.similarity_graph(np.zeros((0, 3)), 0.5)) == []


@pytest.mark.parametrize("r", [1, 2, 4, 8])
def test_planted_blocks_are_found_without_the_truth(r):
    """Four blocks, six seeds of 2 r latents each, noise: every group is one block, at its rank."""
    rng = np.random.default_rng(r)
    d, g = 64, 4
    q = geometry.haar(d, rng)[:, : g * r]
    bases = q.reshape(d, g, r).transpose(1, 0, 2)
    block = np.repeat(np.arange(g), 6 * 2 * r)
    codes = geometry.unit(rng.standard_normal((g, 6 * 2 * r, r)))
    x = np.concatenate([c @ u.T for c, u in zip(codes, bases, strict=True)])
    order = rng.permutation(len(x))
    x = x[order] + 0.15 / np.sqrt(d) * rng.standard_normal(x.shape)
    lone = np.linalg.qr(np.concatenate([q, rng.standard_normal((d, 5))], axis=1))[0][:, g * r :].T
    result = groups.groups(np.concatenate([x, lone]))
    assert [group.rank for group in result] == [r] * g
    assert sorted(len(group.rows) for group in result) == [12 * r] * g
    for group in result:
        (which,) = set(block[order][group.rows])
        assert subspace.overlap(group.span, bases[which]) > 0.98


def test_random_directions_form_no_groups():
    rng = np.random.default_rng(0)
    hits = [len(groups.groups(rng.standard_normal((40, 16)), 0.05)) for _ in range(200)]
    assert np.mean(np.array(hits) > 0) < 0.1
    assert groups.groups(np.eye(4)[:1]) == []
    (pair,) = groups.groups(np.eye(9)[[0, 1, 1, 2]])
    np.testing.assert_array_equal(pair.rows, [1, 2])
    assert pair.rank == 1
    np.testing.assert_allclose(np.abs(pair.span[:, 0]), np.eye(9)[1], atol=1e-12)
    assert groups.groups(np.eye(9)[[0, 1, 1, 2]], least=3) == []
    assert groups.estimate_rank(np.zeros((0, 4))) == 0


@pytest.mark.parametrize(("n", "d"), [(30, 12), (200, 32), (40, 128)])
def test_the_threshold_of_the_rank_has_its_error_rate(n, d):
    """Above the largest singular value of random rows in 95% of draws, but not by far."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, n, d))
    ranks = np.array([groups.estimate_rank(rows) for rows in x])
    assert np.mean(ranks > 0) < 0.05 + 2 * np.sqrt(0.05 / 400)
    line = np.eye(d)[:1]
    some = [groups.estimate_rank(np.concatenate([rows, *[line] * 30])) for rows in x[:50]]
    assert np.mean(some) >= 0.9  # thirty rows along one line stand out


def two_blocks(rng, straddlers, r=3, n=60, d=40):
    """Directions in two orthogonal blocks, and some that lie half in each."""
    q = geometry.haar(d, rng)
    a, b = q[:, :r], q[:, r : 2 * r]
    inside = [geometry.unit(rng.standard_normal((n, r))) @ u.T for u in (a, b)]
    across = sum(geometry.unit(rng.standard_normal((straddlers, r))) @ u.T for u in (a, b))
    return geometry.unit(np.concatenate([*inside, across])), (a, b)


@pytest.mark.parametrize("straddlers", [1, 4])
def test_straddling_latents_do_not_join_blocks(straddlers):
    rng = np.random.default_rng(straddlers)
    x, blocks = two_blocks(rng, straddlers)
    threshold = 0.6
    graph = pairs.similarity_graph(x, threshold)
    assert len(connected(graph)) == 1  # they are joined
    parts = split_graph(x, graph)
    assert sorted(np.concatenate(parts)) == list(range(len(x)))
    found = groups.groups(x)
    assert [g.rank for g in found] == [3, 3]
    for g in found:
        assert max(subspace.overlap(g.span, u) for u in blocks) > 0.99
    (whole,) = split_graph(
        x[:60], pairs.similarity_graph(x[:60], threshold)
    )  # a block is not split
    np.testing.assert_array_equal(whole, np.arange(60))


def test_the_split_has_least_conductance():
    """Two cliques joined by one edge: by hand, the edge is cut."""
    w = np.zeros((7, 7))
    w[:4, :4] = w[4:, 4:] = 1
    w[3, 4] = w[4, 3] = 0.3
    side = least_conductance(coo_array(w))
    assert set(np.flatnonzero(side)) in ({0, 1, 2, 3}, {4, 5, 6})


def test_a_part_of_a_block_grows_to_the_whole_block():
    rng = np.random.default_rng(0)
    x, (a, b) = two_blocks(rng, 0, r=4)
    order = np.argsort(-np.abs(x[:60] @ a[:, 0]))
    (group,) = groups.grow(x, [order[:8], order[8:12]])
    np.testing.assert_array_equal(group.rows, np.arange(60))
    assert group.rank == 4
    assert subspace.overlap(group.span, b) < 1e-9
