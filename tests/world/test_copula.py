"""Features that fire together: marginals stay, pairs follow the bivariate normal law."""

import numpy as np
import pytest
import torch
from laws import N, count_is, draw, fired
from scipy.stats import multivariate_normal, norm

from synthsae.geometry import unit
from synthsae.rng import torch_generator
from synthsae.world import World, WorldConfig
from synthsae.world import copula as module
from synthsae.world.copula import Copula, loadings

P = np.array([0.4, 0.2, 0.1, 0.05, 0.3])
FIELDS = {"n_isolated": 5, "isolated_p": 0.2, "zipf": 0.5, "magnitude": "constant"}
KINDS = {
    "full": {"correlation": 0.4},
    "low rank": {"correlation": 0.6, "correlation_rank": 2},
    "groups": {"correlation": 0.7, "correlation_groups": 2},
}


def implied(a):
    """The correlations that loadings mean."""
    c = a @ a.T
    np.fill_diagonal(c, 1)
    return c


def both(p, q, rho):
    """Probability that two features fire together."""
    law = multivariate_normal([0, 0], [[1, rho], [rho, 1]])
    return law.cdf([norm.ppf(p), norm.ppf(q)])


def holds(on, p, correlation):
    """Marginals and pairs, bool [N, F], at their probabilities."""
    n = len(on)
    for i in range(len(p)):
        assert count_is(on[:, i].sum(), n, p[i])
        for j in range(i):
            expected = both(p[i], p[j], correlation[i, j])
            assert count_is((on[:, i] & on[:, j]).sum(), n, expected)


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_correlated_features_keep_their_marginals(fields):
    world, value = fired(**FIELDS, **fields)
    on, c = value > 0, implied(world.loadings)
    assert np.abs(c - np.eye(5)).max() > 0.3
    holds(on, world.config.firing_probabilities(), c)
    again = on[::2, 0] & on[1::2, 0]
    assert count_is(again.sum(), N // 2, world.config.firing_probabilities()[0] ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7, 2**22])
def test_a_full_matrix_and_its_factors_are_one_law(chunk, monkeypatch):
    """C = A A^T + diag by its 2 factors, and by the 5 columns of a square root of all of C."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    a = 0.85 * unit(np.random.default_rng(0).standard_normal((5, 2)))
    value, vector = np.linalg.eigh(implied(a))
    size = 300 if chunk == 1 else N
    for factor in (a, vector * value**0.5):
        correlated = Copula(factor, P, np.arange(5), torch.device("cpu"))
        g = torch_generator("data", 0)
        shared = correlated.shared(size, g)
        row, feature = correlated.fired(shared, g)
        assert (torch.diff(row * 5 + feature) > 0).all()
        on = np.zeros((size, 5), dtype=bool)
        on[row, feature] = True
        holds(on, P, implied(a))
        rows, child = torch.arange(size), torch.arange(5).expand(size, 5)
        holds(correlated.under(shared, rows, child, g).numpy(), P, implied(a))


def test_probabilities_zero_and_one_are_exact():
    always = np.array([0.0, 1.0])
    c = Copula(np.full((2, 1), 0.5), always, np.arange(2), torch.device("cpu"))
    g = torch_generator("data", 0)
    row, feature = c.fired(c.shared(500, g), g)
    assert torch.equal(row, torch.arange(500))
    assert (feature == 1).all()


@pytest.mark.parametrize("rank", [0, 1, 25])
def test_correlations_have_the_standard_deviation_that_is_asked_for(rank):
    n, c = 600, 0.018
    config = WorldConfig(n_isolated=n, correlation=c, correlation_rank=rank)
    a = loadings(config, np.random.default_rng(0))
    assert a.shape == (n, rank or n)
    pair = (a @ a.T)[np.triu_indices(n, 1)]
    assert pair.std() == pytest.approx(c, rel=0.15 if rank else 0.01)
    assert abs(pair.mean()) < 0.1 * c
    if rank:
        assert a.std() == pytest.approx((c / rank**0.5) ** 0.5, rel=0.1)
    else:
        np.testing.assert_allclose(np.linalg.norm(a, axis=1), np.ones(n))


def test_strong_correlations_remain_a_correlation_matrix():
    rng = np.random.default_rng(0)
    full = loadings(WorldConfig(n_isolated=100, correlation=0.6), rng)
    np.testing.assert_allclose(np.linalg.norm(full, axis=1), np.ones(100))
    low = loadings(WorldConfig(n_isolated=100, correlation=1, correlation_rank=1), rng)
    assert np.linalg.norm(low, axis=1).max() == pytest.approx(0.99**0.5)
    assert np.linalg.norm(low, axis=1).min() < 0.5  # only what is too long is shortened


@pytest.mark.parametrize("law", ["isotropic", "sparse"])
def test_blocks_and_circles_fire_on_their_own_beside_correlated_features(law):
    blocks = {"n_blocks": 1, "rank": 2, "block_p": 0.3, "law": law}
    world, x = draw(d_model=10, **FIELDS, **KINDS["full"], **blocks, n_circles=1, circle_p=0.4)
    on = x @ world.isolated.T > 1e-5
    p, c = world.config.firing_probabilities(), implied(world.loadings)
    holds(on, p, c)
    for basis, q in ((world.bases[0], 0.3), (world.planes[0], 0.4)):
        active = np.linalg.norm(x @ basis, axis=1) > 1e-5
        assert count_is(active.sum(), N, q)
        for i in range(5):
            assert count_is((active & on[:, i]).sum(), N, q * p[i])


def test_no_correlation_takes_the_sparse_path():
    config = WorldConfig(n_isolated=5)
    assert World.plant(config, seed=0).loadings.shape == (5, 0)


def test_groups_are_blocks_of_one_correlation():
    """The correlations themselves, and that of binary gates at their closed form."""
    c = WorldConfig(n_isolated=7, correlation=0.8, correlation_groups=3)
    assert module.groups(c).tolist() == [0, 0, 0, 1, 1, 2, 2]
    got = implied(loadings(c, np.random.default_rng(0)))
    for i in range(7):
        for j in range(7):
            inside = module.groups(c)[i] == module.groups(c)[j]
            assert got[i, j] == pytest.approx(1 if i == j else 0.8 * inside)
    alone = WorldConfig(n_isolated=7, correlation=0.8, correlation_groups=7)
    assert implied(loadings(alone, np.random.default_rng(0))) == pytest.approx(np.eye(7))
