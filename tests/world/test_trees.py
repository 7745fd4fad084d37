"""Hierarchies: who may fire with whom, exactly, and how often."""

from itertools import product

import numpy as np
import pytest
import torch
from laws import N, count_is, fired, follows
from scipy.stats import multivariate_normal, norm, uniform

from synthsae.checks import ConfigError
from synthsae.rng import torch_generator
from synthsae.world import World, WorldConfig
from synthsae.world.trees import candidates, parents

RANGE = {"zipf": 0.5, "isolated_p_max": 0.6, "isolated_p_min": 0.02, "magnitude": "constant"}
TREES = {"n_isolated": 30, "n_trees": 2, "tree_branching": 3, "tree_depth": 2, **RANGE}
SOURCES = {
    "independent": {},
    "low rank": {"correlation": 0.3, "correlation_rank": 3},
    "full": {"correlation": 0.15},
}


def families(n_trees, b, depth):
    """(parent, its children) of every inner node, counted level by level."""
    level, following, out = list(range(n_trees)), n_trees, []
    for _ in range(depth):
        below = []
        for node in level:
            children = list(range(following, following + b))
            following += b
            out.append((node, children))
            below += children
        level = below
    return out


@pytest.mark.parametrize("b", [1, 2, 10**9])
def test_trees_of_any_depth_are_counted_at_once(b):
    assert WorldConfig(tree_branching=b, tree_depth=10**9).n_tree_nodes == 0
    with pytest.raises(ConfigError) as error:
        WorldConfig(n_trees=1, tree_branching=b, tree_depth=10**9)
    assert (error.value.field, error.value.value) == ("world.n_trees", 1)


@pytest.mark.parametrize(("n_trees", "b", "depth"), [(1, 1, 3), (2, 3, 2), (3, 2, 1), (2, 4, 3)])
def test_nodes_are_numbered_breadth_first(n_trees, b, depth):
    fields = {"n_trees": n_trees, "tree_branching": b, "tree_depth": depth}
    config = WorldConfig(n_isolated=200, **fields)
    expected, tree = np.full(200, -1), families(n_trees, b, depth)
    for node, children in tree:
        expected[children] = node
    np.testing.assert_array_equal(parents(config), expected)
    assert config.n_tree_nodes == n_trees + sum(len(children) for _, children in tree)
    np.testing.assert_array_equal(World.plant(config, seed=0).parent, expected)


@pytest.mark.parametrize("exclusive", [True, False])
def test_candidates_are_compensated_as_in_synthsaebench(exclusive):
    config = WorldConfig(**TREES, exclusive=exclusive)
    p = config.firing_probabilities()
    q = p.copy()
    for node, children in families(2, 3, 2):
        for i in children:
            rivals = sum(p[j] for j in children if j != i) / p[node]
            q[i] = min(1, p[i] / p[node] * (1 + exclusive * rivals))
    np.testing.assert_allclose(candidates(config), q)


def test_a_child_of_a_parent_that_never_fires_does_not_fire():
    config = WorldConfig(n_isolated=6, isolated_p=0, n_trees=1, tree_depth=1)
    assert not candidates(config).any()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("exclusive", [True, False])
def test_no_child_without_its_parent_and_no_two_exclusive_siblings(source, exclusive):
    _, value = fired(**TREES, **source, exclusive=exclusive)
    on, most = value > 0, 0
    for node, children in families(2, 3, 2):
        assert on[:, children].any(axis=0).all()
        assert not (on[:, children] & ~on[:, [node]]).any()
        most = max(most, on[:, children].sum(axis=1).max())
    assert most == (1 if exclusive else 3)


def win(q, i):
    """Probability that child i is the one chosen, over all sets of candidates."""
    total = 0.0
    for which in product([0, 1], repeat=len(q)):
        if which[i]:
            total += np.prod(np.where(which, q, 1 - q)) / sum(which)
    return total


def test_exclusive_children_given_their_parent():
    world, value = fired(**TREES)
    on, q, p = value > 0, candidates(world.config), world.config.firing_probabilities()
    for i in (0, 1, *range(26, 30)):  # roots and features in no tree
        assert count_is(on[:, i].sum(), N, p[i])
    for node, children in families(2, 3, 2):
        for k, i in enumerate(children):
            assert count_is(on[:, i].sum(), on[:, node].sum(), win(q[children], k))


def test_free_children_fire_independently_below_their_parent_with_the_probabilities_asked_for():
    world, value = fired(**TREES, exclusive=False)
    on, q, p = value > 0, candidates(world.config), world.config.firing_probabilities()
    assert (q < 1).all()
    for i in range(30):
        assert count_is(on[:, i].sum(), N, p[i])
    for node, (i, j, _) in families(2, 3, 2):
        assert count_is((on[:, i] & on[:, j]).sum(), on[:, node].sum(), q[i] * q[j])


@pytest.mark.parametrize("source", [SOURCES["low rank"], SOURCES["full"]], ids=["low", "full"])
def test_correlation_goes_across_levels(source):
    """Parent and child fire together where both normals are above their thresholds."""
    world, value = fired(**TREES, **source, exclusive=False)
    on, q = value > 0, candidates(world.config)
    a = world.loadings
    for node, children in families(2, 3, 2)[:2]:  # roots: no gate above them
        for i in children:
            rho = a[i] @ a[node]
            law = multivariate_normal([0, 0], [[1, rho], [rho, 1]])
            expected = law.cdf([norm.ppf(q[node]), norm.ppf(q[i])])
            assert count_is((on[:, i] & on[:, node]).sum(), N, expected)


@pytest.mark.parametrize("magnitude", ["constant", "uniform", "normal"])
def test_scaled_children_multiply_the_magnitudes_above_them(magnitude):
    scales = {"scale_first": 5, "scale_last": 4, "magnitude": magnitude, "magnitude_sd": 0.5}
    _, value = fired(**TREES | scales, tree_scaling=True)
    scale = np.linspace(5, 4, 30)
    own, checked = {}, 0
    for node, children in families(2, 3, 2):
        for i in children:
            both = value[:, i] > 0
            mean = scale[node] * (3**0.5 / 2 if magnitude == "uniform" else 1)
            own[i] = value[both, i] / value[both, node] * mean
            if both.sum() > 100:
                checked += 1
                if magnitude == "constant":
                    np.testing.assert_allclose(own[i], scale[i], rtol=1e-4)
                else:
                    wide = uniform(0, 3**0.5 * scale[i])
                    assert follows(own[i], wide if magnitude == "uniform" else norm(scale[i], 0.5))
    assert checked > 10


def test_without_scaling_magnitudes_are_their_own():
    _, value = fired(**TREES | {"magnitude": "uniform"})
    below = value[(value[:, 2] > 0), :]
    assert follows(below[:, 2], uniform(0, 3**0.5))
    assert abs(np.corrcoef(below[:, 0], below[:, 2])[0, 1]) < 5 / len(below) ** 0.5


def test_a_forest_costs_what_fires():
    """About 174,000 nodes, 4,096 rows, and 1 to 2 trees that fire in a row."""
    fields = {"n_trees": 2048, "n_isolated": 2048 * 85, "isolated_p": 1e-3, "zipf": 0.1}
    config = WorldConfig(d_model=8, n_blocks=0, **fields)
    sampler, g = (
        World.plant(config, seed=0).sampler(torch.device("cpu")),
        torch_generator("data", 0),
    )
    row, index, value = sampler.fire(*sampler.gates.fired(4096, g), 4096, g)
    assert len(row) == len(index) == len(value) < 100_000
    assert (torch.diff(row) >= 0).all()
    pair = row * config.n_isolated + index
    assert len(pair.unique()) == len(pair)
    roots = config.firing_probabilities()[:2048].mean()
    assert count_is((index < 2048).sum(), 4096 * 2048, roots)
