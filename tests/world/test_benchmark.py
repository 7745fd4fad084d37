"""`synthsaebench_16k` draws what is published of SynthSAEBench-16k (2602.14687).

16,384 features in D = 768, Zipf .5 from .4 to 5e-4, an L0 of about 34, 128 trees of branching 4 and
depth 3 with exclusive children, correlations of rank 25 and scale .1, magnitudes from 5 to 4 with
standard deviations |N(.5, .5^2)|, a bias of .5. What fires does not depend on D, so that most of it
is tested in R^8, where planting is quick.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from laws import ALPHA, count_is, follows
from scipy.stats import binomtest, chi2, foldnorm, multivariate_normal, norm

from synthsae.world import PRESETS, World

F, ROOTS, NODES, SIZE = 16384, 128, 128 * 85, 8192
CONFIG = PRESETS["synthsaebench_16k"]
P = 5e-4 + (0.4 - 5e-4) * (np.arange(1, F + 1) ** -0.5 - F**-0.5) / (1 - F**-0.5)


@pytest.fixture(scope="module")
def world():
    return World.plant(replace(CONFIG, d_model=8), seed=0)


@pytest.fixture(scope="module")
def fired(world):
    """Row, feature and magnitude of everything that fires in SIZE samples."""
    sampler, g = world.sampler(torch.device("cpu")), torch.Generator().manual_seed(0)
    return [x.numpy() for x in sampler.fire(*sampler.gates.fired(SIZE, g), SIZE, g)]


def test_sizes_and_bias(world):
    assert (CONFIG.n_isolated, CONFIG.d_model, CONFIG.correlation_rank) == (F, 768, 25)
    assert (CONFIG.n_blocks, CONFIG.n_circles, CONFIG.noise) == (0, 0, 0)
    assert np.linalg.norm(world.bias) == pytest.approx(0.5)


def test_128_trees_of_branching_4_and_depth_3(world):
    depth = np.zeros(NODES, dtype=int)
    for i in range(ROOTS, NODES):
        depth[i] = depth[world.parent[i]] + 1
    assert np.bincount(depth).tolist() == [128, 512, 2048, 8192]
    children = np.bincount(world.parent[ROOTS:NODES], minlength=NODES)
    assert (children == np.where(depth < 3, 4, 0)).all()
    assert (world.parent[NODES:] == -1).all()


@pytest.mark.slow
def test_features_without_a_parent_fire_by_zipf(fired):
    """Roots and features in no tree have their probabilities exactly: all counts, and the sum."""
    np.testing.assert_allclose(CONFIG.firing_probabilities(), P)
    count = np.bincount(fired[1], minlength=F)
    free = np.r_[:ROOTS, NODES:F]
    assert all(count_is(count[i], SIZE, P[i]) for i in free)
    assert count_is(count[NODES:].sum(), SIZE * (F - NODES), P[NODES:].mean())


def test_the_l0_is_about_34(fired):
    """34.50 is what SAELens' generator gives at this configuration (benchmarks/WORLDS.md)."""
    l0 = np.bincount(fired[0], minlength=SIZE)
    assert abs(l0.mean() - 34.5) <= 5 * l0.std() / SIZE**0.5


def test_children_fire_below_their_parents_and_one_at_most(world, fired):
    on = np.zeros((SIZE, NODES), dtype=bool)
    inside = fired[1] < NODES
    on[fired[0][inside], fired[1][inside]] = True
    assert not (on[:, ROOTS:] & ~on[:, world.parent[ROOTS:NODES]]).any()
    assert on[:, ROOTS:].reshape(SIZE, -1, 4).sum(axis=2).max() == 1


def test_correlations_have_rank_25_and_scale_a_tenth(world, fired):
    """Loadings are N(0, .1^2) by their exact variance law, and roots fire together as they say."""
    a = world.loadings
    assert a.shape == (F, 25)
    assert ALPHA < chi2(a.size).cdf((a**2).sum() / 0.1**2) < 1 - ALPHA
    assert follows(a.ravel(), norm(0, 0.1))
    on = np.zeros((SIZE, 8), dtype=bool)
    first = fired[1] < 8
    on[fired[0][first], fired[1][first]] = True
    for i in range(8):
        for j in range(i):
            law = multivariate_normal([0, 0], [[1, a[i] @ a[j]], [a[i] @ a[j], 1]])
            both = law.cdf(norm.ppf(P[[i, j]]))
            assert count_is((on[:, i] & on[:, j]).sum(), SIZE, both)


def test_magnitudes_go_from_5_to_4_with_standard_deviations_of_their_own(world, fired):
    assert follows(world.magnitude_sd, foldnorm(1, scale=0.5))
    free = (fired[1] < ROOTS) | (fired[1] >= NODES)
    feature, value = fired[1][free], fired[2][free]
    z = (value - np.linspace(5, 4, F)[feature]) / world.magnitude_sd[feature]
    assert follows(z[value > 0], norm())
    assert binomtest(int((value[feature == 0] > 5).sum()), int((feature == 0).sum())).pvalue > ALPHA
