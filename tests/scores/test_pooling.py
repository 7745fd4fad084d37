"""Measures of pools: what every number is, on a small trained run."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.pooling import scores as own
from synthsae.studies.pooling.scores import RECIPES, _scores, pool_sizes, rotated
from synthsae.studies.pooling.unions import turned, unions, unions_of_blocks, unions_of_features

from synthsae import theory
from synthsae.config import Config, override
from synthsae.definitions import DEFAULTS
from synthsae.evaluation import Evaluation, evaluate
from synthsae.geometry import haar, unit
from synthsae.metrics.latent import max_cosines
from synthsae.sae import SAEConfig
from synthsae.scores.kinds import planted_kinds
from synthsae.scores.run import Run, run_cell
from synthsae.seeds.pooling import pool
from synthsae.train import refit, train
from synthsae.world import World

TINY = {
    "world.d_model": 16,
    "world.n_isolated": 5,
    "world.n_blocks": 2,
    "world.rank": 4,
    "world.block_p": 0.3,
    "sae.n_latents": 24,
    "sae.k": 3,
    "train.n_steps": 60,
    "train.batch_size": 128,
    "train.lr": 0.02,
    "n_seeds": 5,
    "eval_samples": 3000,
}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_cell(override(Config(), TINY))


@pytest.fixture(scope="module")
def pools(run: Run) -> xr.Dataset:
    return own.pools(run)


def live(run: Run, s: int) -> np.ndarray:
    return run.directions[s, run.live[s]]


def every_union(run: Run) -> xr.Dataset:
    return xr.merge([unions(run), unions_of_blocks(run), unions_of_features(run)], join="exact")


def test_unions_by_hand(run: Run) -> None:
    ds = every_union(run)
    assert ds.union_size.values.tolist() == [1, 2, 3, 4]
    d = live(run, 1)
    others = np.concatenate([live(run, t) for t in (0, 2, 3, 4)])
    seen = (d @ others.T).max(1) >= 0.7
    block = np.max([(d @ u) @ u.T @ d.T for u in run.world.bases], axis=0).diagonal() >= 0.5
    isolated = ~block & ((d @ run.world.isolated.T).max(1) >= 0.7)
    assert block.any()
    assert isolated.any()
    last = ds.sel(union_size=4).isel(seed=1)
    assert last.union_reappearance == pytest.approx(seen.mean())
    assert last.union_block_reappearance == pytest.approx(seen[block].mean())
    assert last.union_isolated_reappearance == pytest.approx(seen[isolated].mean())
    first = ds.sel(union_size=1)
    np.testing.assert_allclose(first.union_reappearance, np.nanmean(run.p_hat, axis=1))
    every = np.concatenate([live(run, s) for s in range(5)])
    has = (run.world.isolated @ every.T).max(1) >= 0.9
    each = [(run.world.isolated @ live(run, s).T).max(1) >= 0.9 for s in range(5)]
    assert first.union_features_found == pytest.approx(np.mean(each))
    assert ds.union_features_found.sel(union_size=4) <= has.mean() + 1e-12


EXACT = 0.7517
"""Share of the sphere in R^4 within .7 of +-e_i."""


@pytest.fixture(scope="module")
def crosses() -> Run:
    """24 made-up SAEs: +-e_i in both blocks, turned at random, and two isolated features."""
    config = override(Config(), TINY | {"sae.n_latents": 18, "n_seeds": 24})
    world, rng = World.plant(config.world, seed=0), np.random.default_rng(0)
    d = np.zeros((24, 18, 16))
    for s in range(24):
        frames = [haar(4, rng) @ basis.T for basis in world.bases]
        d[s] = np.concatenate([*frames, *(-f for f in frames), world.isolated[:2]])
    rates = rng.uniform(0.01, 0.02, (24, 18))
    return Run(config, world, config.seeds, {}, Evaluation(d, rates, np.zeros(24)))


def test_union_laws_are_exact_where_the_share_is_known(crosses: Run) -> None:
    ds = every_union(crosses)
    want = 1 - (1 - EXACT) ** ds.union_size
    assert float(abs(ds.union_block_law.mean("seed") - want).max()) < 0.01
    assert float(abs(ds.union_block_reappearance.mean("seed") - want).max()) < 0.02
    assert (ds.union_isolated_reappearance == 1).all()
    assert (ds.union_features_found == 2 / 5).all()
    prior = float(theory.coverage_a_priori(4, (18 - 5) / 2))
    np.testing.assert_allclose(ds.union_block_a_priori, 1 - (1 - prior) ** ds.union_size)


def test_a_rotated_pool_is_found_by_the_share_of_the_sphere_that_the_other_covers(
    crosses: Run,
) -> None:
    """Two frames of one block alone: exact at N = 1, elsewhere by uniform directions."""
    rng, basis = np.random.default_rng(1), crosses.world.bases[0]
    mine, others = crosses.directions[0, [0, 1, 2, 3]], crosses.directions[1:5, :16]
    for n in (1, 4):
        other = others[:n].reshape(-1, 16)
        best = rotated(crosses, mine, other, rng, draws=2000)
        assert best.shape == (2000, 4)
        sphere = unit(rng.standard_normal((20_000, 4))) @ basis.T
        for theta in (0.7, 0.9):
            share = (max_cosines(sphere, other) >= theta).mean()
            assert (best >= theta).mean() == pytest.approx(share, abs=0.02), (n, theta)
            if (n, theta) == (1, 0.7):
                assert share == pytest.approx(EXACT, abs=0.01)


def test_rotation_keeps_codes_rigid_and_all_else_as_it_is(run: Run) -> None:
    """Whole directions turn in the blocks: what a block's latent has outside of it stays."""
    mine, basis = live(run, 0), run.world.bases[0]
    once = turned(run, mine[None], np.random.default_rng(0))[0]
    np.testing.assert_allclose(once @ once.T, mine @ mine.T, atol=1e-9)
    outside = np.eye(16) - sum(u @ u.T for u in run.world.bases)
    np.testing.assert_allclose(once @ outside, mine @ outside, atol=1e-9)
    energy = [np.linalg.norm(d @ basis, axis=1) for d in (once, mine)]
    np.testing.assert_allclose(*energy, atol=1e-9)
    for u in run.world.bases:
        assert np.abs((once - mine) @ u).max() > 0.3


def test_the_law_is_of_the_live_block_latents(run: Run) -> None:
    """With a block's latent dead in either SAE, and the same rotations: to the last bit."""
    block = planted_kinds(run.world, run.directions, DEFAULTS)[0] & run.live
    seen = run.evaluation
    rates = seen.rates.copy()
    for s in (0, 1):
        rates[s, np.flatnonzero(block[s])[0]] = 0
    mine, other = (
        Evaluation(seen.directions[[s]], rates[[s]], seen.explained_variance[[s]]) for s in (0, 1)
    )
    got = _scores(run, mine, other, np.random.default_rng(3))
    a, b = (e.directions[0, e.live()[0]] for e in (mine, other))
    a = a[planted_kinds(run.world, a, DEFAULTS)[0]]
    assert len(a) == block[0].sum() - 1
    best = rotated(run, a, b, np.random.default_rng(3))
    assert got["block_reappearance_law"] == (best >= 0.7).mean()
    assert got["block_strict_reappearance_law"] == (best >= 0.9).mean()


@pytest.mark.slow
def test_pools_are_what_they_say(run: Run, pools: xr.Dataset) -> None:
    """Two of them again, from the parts, side 0: EV, latents, and both directions of finding."""
    assert run.stack is not None
    assert pool_sizes(run) == [1, 2] == pools.pool_size.values.tolist()
    assert pools.recipe.values.tolist() == list(RECIPES)
    made = [pool(run.stack.select(at), run.evaluation.rates[at]) for at in ([0, 1], [2, 3])]
    rate = [0.02 * (24 / p.config.size) ** 0.5 for p in made]
    fitted = [
        refit(p, run.world, replace(run.config.train, lr=lr))
        for p, lr in zip(made, rate, strict=True)
    ]
    for recipe, saes in (("kept", made), ("refitted", fitted)):
        seen = [evaluate(s, run.world, 3000) for s in saes]
        a, b = (e.directions[0, e.live()[0]] for e in seen)
        at = pools.sel({"recipe": recipe, "pool_size": 2})
        ev = np.ravel([e.explained_variance for e in seen])
        np.testing.assert_allclose(at.pool_explained_variance, ev, atol=1e-4)
        np.testing.assert_array_equal(at.pool_latents, [len(a), len(b)])
        dead = [1 - e.live().mean() for e in seen]
        np.testing.assert_allclose(at.pool_dead_fraction, dead, atol=1e-9)
        c = a @ b.T
        found = [(c.max(1) >= 0.7).mean(), (c.max(0) >= 0.7).mean()]
        np.testing.assert_allclose(at.pool_reappearance, found)
        block = planted_kinds(run.world, a, DEFAULTS)[0]
        strict = (c.max(1) >= 0.9)[block].mean()
        assert at.pool_block_strict_reappearance[0] == pytest.approx(strict)
        has = (max_cosines(run.world.isolated, b) >= 0.9).mean()
        assert at.pool_features_found[1] == pytest.approx(has)


def test_one_seed_is_itself_by_every_ensemble(run: Run, pools: xr.Dataset) -> None:
    one = pools.sel(pool_size=1)
    for recipe in ("kept", "averaged", "boosted"):
        ev = one.pool_explained_variance.sel({"recipe": recipe})
        np.testing.assert_allclose(ev, run.evaluation.explained_variance[[0, 2]], atol=1e-3)


def test_budgets(run: Run, pools: xr.Dataset) -> None:
    """k latents fire in what has one code, N k in ensembles; wide is trained as long."""
    l0 = pools.pool_l0.sel(pool_size=2)
    assert (l0.sel({"recipe": ["kept", "refitted", "random", "wide"]}) <= 3).all()
    assert (l0.sel({"recipe": ["averaged", "boosted"]}) > 4.5).all()
    total = pools.pool_latents / (1 - pools.pool_dead_fraction)
    same = total.sel(pool_size=2, side=0).sel({"recipe": list(RECIPES[:4])})
    np.testing.assert_allclose(same, same[0])
    assert run.stack is not None
    size = round(float(same[0]))
    longer = replace(
        run.config.train, n_steps=round((2 * 24 / size + 1) * 60), lr=0.02 * (24 / size) ** 0.5
    )
    wide = train(run.world, SAEConfig(n_latents=size, k=3), longer, seeds=[0]).stack
    ev = evaluate(wide, run.world, 3000).explained_variance[0]
    got = pools.pool_explained_variance.sel({"recipe": "wide", "pool_size": 2})[0]
    assert float(got) == pytest.approx(ev, abs=1e-4)


class Samples:
    """A world whose truth is out of sight."""

    def __init__(self, world: World) -> None:
        self.d_model, self.batch = world.d_model, world.batch


def test_without_truth_the_rest_is_the_same(run: Run, pools: xr.Dataset) -> None:
    blind = replace(run, source=Samples(run.world))
    mine = own.pools(blind)
    told = {"explained_variance", "l0", "latents", "dead_fraction"}
    told |= {"reappearance", "strict_reappearance"}
    assert set(mine) == {f"pool_{name}" for name in told}
    xr.testing.assert_identical(mine, pools[list(mine)])
    xr.testing.assert_identical(unions(blind), unions(run))


def test_pools_need_the_saes(run: Run) -> None:
    with pytest.raises(ValueError, match="stack: None; allowed: the trained SAEs"):
        own.pools(replace(run, stack=None))
