"""Which interval a score gets by its name, what it covers, and that the names are right."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from every_score import EVERY
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import synthsae
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.config import Config, override
from synthsae.evaluation import evaluate
from synthsae.scores.needs import lacking
from synthsae.scores.run import Run, run_cell
from synthsae.seeds.intervals import ALONE, interval_of
from synthsae.stats import mean_interval, pairwise_interval, row_interval

COMPARED, OWN = "block_reappearance", "explained_variance"
PAIRS = ("seed_a", "seed_b")
scores = st.integers(3, 6).flatmap(lambda s: arrays(float, (2, s), elements=st.floats(-1, 1)))


def named(values: Array, *dims: str, name: str | None = None) -> xr.DataArray:
    return xr.DataArray(values, dims=dims, name=name)


def symmetric(x: Array) -> Array:
    return np.where(np.eye(x.shape[-1], dtype=bool), np.nan, (x[..., None] + x[..., None, :]) / 2)


@given(scores)
def test_which_interval_it_is(x: Array) -> None:
    for name, want in ((OWN, mean_interval), (COMPARED, row_interval), (None, row_interval)):
        values = named(x, "k", "seed", name=name)
        np.testing.assert_allclose(interval_of(values), want(x))
        for alike in (values.T, xr.concat([values - 1, values + 1], "block")):
            np.testing.assert_allclose(interval_of(alike), want(x), atol=1e-12)
        np.testing.assert_allclose(interval_of(values.expand_dims("world_seed")), want(x))
    pairs = named(symmetric(x), "k", *PAIRS)
    np.testing.assert_allclose(interval_of(pairs), pairwise_interval(pairs.values), atol=1e-12)
    rows = pairs.mean("seed_b").rename(seed_a="seed")
    np.testing.assert_allclose(interval_of(pairs), interval_of(rows), atol=1e-12)
    filled = pairs.fillna(7.0)  # the diagonal is not read
    np.testing.assert_allclose(interval_of(filled), interval_of(pairs))


@given(scores)
def test_worlds_are_the_replicates_where_there_are_several(x: Array) -> None:
    shifts = np.array([0.0, 0.3, 0.4])
    for values in (named(x, "k", "seed", name=COMPARED), named(symmetric(x), "k", *PAIRS)):
        worlds = xr.concat([values + s for s in shifts], "world_seed")
        means = values.mean([d for d in values.dims if d != "k"]).values
        want = mean_interval(means[:, None] + shifts)
        np.testing.assert_allclose(interval_of(worlds), want, atol=1e-12)
    flat = named(x, "k", "world_seed")  # a score of a world, without seeds
    np.testing.assert_allclose(interval_of(flat), mean_interval(x))
    no_replicates = interval_of(named(x[0], "k"))
    np.testing.assert_array_equal(no_replicates.estimate, x[0])
    assert np.isnan([no_replicates.low, no_replicates.high]).all()


@given(scores, st.data())
def test_order_does_not_matter_and_gaps_are_left_out(x: Array, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(x.shape[1])))
    lost = x.copy()
    lost[0, order[0]] = np.nan
    kept = [i for i in range(x.shape[1]) if i != order[0]]
    for name in (OWN, COMPARED):
        whole, turned = (named(v, "k", "seed", name=name) for v in (x, x[:, order]))
        np.testing.assert_allclose(interval_of(whole), interval_of(turned), atol=1e-12)
        got = np.array(interval_of(named(lost, "k", "seed", name=name)))
        np.testing.assert_allclose(got[:, 0], interval_of(whole[0, kept]), atol=1e-12)
        np.testing.assert_allclose(got[:, 1], interval_of(whole[1]), atol=1e-12)
    gone = symmetric(x[0])
    gone[order[0]] = np.nan
    want = interval_of(named(symmetric(x[0, kept]), *PAIRS))
    np.testing.assert_allclose(interval_of(named(gone, *PAIRS)), want, atol=1e-12)


def test_what_a_user_gets() -> None:
    x = np.random.default_rng(0).random((2, 5, 3))
    ds = xr.Dataset(
        {COMPARED: (("rank", "seed", "block"), x, {"long_name": "p_hat", "units": "1"})},
        {"rank": [2, 4], "seed": range(5)},
    )
    found = synthsae.interval(ds, COMPARED, level=0.9)
    assert (found.estimate.dims, found["rank"].values.tolist()) == (("rank",), [2, 4])
    assert list(found.coords) == ["rank"]
    want = row_interval(x.mean(axis=2), 0.9)
    np.testing.assert_allclose([found[end] for end in ("estimate", "low", "high")], want)
    assert found.low.attrs == {"long_name": "p_hat: lower end of 90% interval", "units": "1"}
    for name, level, field in (("block_reappearence", 0.9, "name"), (COMPARED, 1.5, "level")):
        with pytest.raises(ConfigError) as error:
            synthsae.interval(ds, name, level)
        assert error.value.field == field


def alone(rng: np.random.Generator, seeds: int) -> Array:
    return 0.3 + 0.05 * rng.standard_normal(seeds)


def rows(rng: np.random.Generator, seeds: int) -> Array:
    """Means over the other seeds of a score of pairs in which seeds are better or worse."""
    a = rng.standard_normal(seeds)
    return 0.3 + 0.05 * (a + (a.sum() - a) / (seeds - 1))


@pytest.mark.parametrize("seeds", [5, 8])
@pytest.mark.parametrize(("name", "draw"), [(OWN, alone), (COMPARED, rows)])
def test_it_covers_and_the_other_would_not(name: str, draw: Callable, seeds: int) -> None:
    rng, repeats = np.random.default_rng(seeds), 2000
    values = np.array([draw(rng, seeds) for _ in range(repeats)])
    covered = {}
    for used in (OWN, COMPARED):
        found = interval_of(named(values, "repeat", "seed", name=used))
        covered[used] = np.mean((found.low <= 0.3) & (found.high >= 0.3))
    assert abs(covered[name] - 0.95) <= 4 * np.sqrt(0.95 * 0.05 / repeats)
    assert covered[OWN] < 0.75 if name == COMPARED else covered[COMPARED] > 0.98


def test_worlds_cover() -> None:
    """Seeds of a world are alike, so that an interval over all seeds would be too short."""
    rng, repeats = np.random.default_rng(0), 2000
    shape = (repeats, 5, 4)
    x = rng.standard_normal(shape[:2])[..., None] + 0.3 * rng.standard_normal(shape)
    found = interval_of(named(x, "repeat", "world_seed", "seed", name=OWN))
    covered = np.mean((found.low <= 0) & (found.high >= 0))
    assert abs(covered - 0.95) <= 4 * np.sqrt(0.95 * 0.05 / repeats)


TINY = {
    "world.d_model": 20,
    "world.n_isolated": 5,
    "world.n_blocks": 2,
    "world.rank": 4,
    "sae.k": 2,
    "train.n_steps": 60,
    "train.batch_size": 128,
    "train.lr": 0.01,
    "n_seeds": 8,
    "eval_samples": 2000,
}


def without_the_last_seed(run: Run) -> Run:
    n = len(run.seeds) - 1
    stack = run.saes.select(list(range(n)))
    seen = evaluate(stack, run.source, run.config.eval_samples)
    config = replace(run.config, n_seeds=n)
    return replace(run, config=config, seeds=stack.seeds, stack=stack, evaluation=seen)


def unchanged(a: xr.DataArray, b: xr.DataArray) -> bool:
    """Whether the seeds of `b` have the same values in `a`, up to rounding of products."""
    x = a.isel(seed=slice(b.sizes["seed"]))
    return x.shape == b.shape and np.allclose(x, b, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.slow
def test_names_are_those_that_do_not_change_when_a_seed_is_left_out() -> None:
    """The oracle: every score that has a number for each seed, with and without another seed."""
    same, other = set(), set()
    for law in ("isotropic", "sparse", "generalised_normal"):
        run = run_cell(override(Config(), TINY | {"world.law": law}))
        fewer = without_the_last_seed(run)
        for score in EVERY.values():
            if lacking(score, run.config):
                continue
            whole, part = score(run), score(fewer)
            for name in (str(v) for v in whole if "seed" in whole[v].dims):
                (same if unchanged(whole[name], part[name]) else other).add(name)
    assert same - other == ALONE
