"""song_toy: its world, the curve on its figure, and the whole of it in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import synthsae
from synthsae import cli
from synthsae.figures.song import points, rank_correlation
from synthsae.figures.worlds import in_words, interval_over_worlds
from synthsae.metrics.latent import matched_cosines, mcc
from synthsae.stats import mean_interval, pairwise_interval, row_interval
from synthsae.theory import chance_matched_cosine
from synthsae.world import World

TINY = {"train.n_steps": "5,150", "world_seed": "0,1", "eval_samples": "500"}


def test_world_is_the_published_one_up_to_what_the_study_says() -> None:
    world = cli.load("song_toy").base.world
    features = World.plant(world, seed=0).isolated
    gram = features @ features.T - np.eye(32)
    assert features.shape == (32, 16)
    assert np.allclose(np.linalg.norm(features, axis=1), 1)
    assert (gram[~np.eye(32, dtype=bool)] ** 2).mean() == pytest.approx(0.034, abs=0.002)
    x = World.plant(world, seed=0).batch(0, 20_000, seed=0).numpy()
    assert (x**2).sum(axis=1).mean() == pytest.approx(3, rel=0.05)  # 3 features a sample, E v^2 = 1


def test_independent_errors_give_the_square() -> None:
    """The dashed curve: latents c f + sqrt(1 - c^2) e with e independent in a large space."""
    rng, d, c = np.random.default_rng(0), 2000, 0.8
    frame = np.linalg.qr(rng.standard_normal((d, 96)))[0].T
    f, noise = frame[:32], frame[32:].reshape(2, 32, d)
    a, b = (c * f + (1 - c**2) ** 0.5 * e for e in noise)
    assert mcc(a, f) == pytest.approx(c)
    assert matched_cosines(a, b).mean() == pytest.approx(c**2)


def test_points_and_rank_correlation() -> None:
    ds = xr.Dataset(
        {
            "feature_mcc": (("n_steps", "seed"), [[0.4, 0.6], [0.7, 0.9], [0.9, 0.9]]),
            "pairwise_mcc": (
                ("n_steps", "seed_a", "seed_b"),
                [[[np.nan, p], [p, np.nan]] for p in (0.3, 0.6, 0.5)],
            ),
        }
    )
    x, y = points(ds)
    assert np.allclose(x, [0.5, 0.8, 0.9])
    assert np.allclose(y, [0.3, 0.6, 0.5])
    assert rank_correlation(ds) == pytest.approx(0.5)


def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["song_toy", "--out", str(tmp_path), "--seeds", "3", *sets]) == 0
    ds = synthsae.open_results("song_toy", tmp_path)
    assert "rank correlation" in capsys.readouterr().out
    chance = ds.pairwise_mcc_chance.sel(n_steps=150).mean()
    assert chance == pytest.approx(chance_matched_cosine(16, 32), abs=0.02)  # .454 in science.md
    assert chance == pytest.approx(0.454, abs=0.02)
    for name in ("feature_mcc", "pairwise_mcc"):
        first, last = (ds[name].sel(n_steps=n).mean() for n in (5, 150))
        assert last > first + 0.1
    assert (tmp_path / "song_toy" / "song_toy.png").stat().st_size > 1000


def test_one_world_has_the_interval_of_its_seeds() -> None:
    values = xr.DataArray(np.random.default_rng(0).random((1, 6)), dims=("world_seed", "seed"))
    own, read = mean_interval(values.values[0]), row_interval(values.values[0])
    assert np.allclose(interval_over_worlds(values, own=True), own)
    assert np.allclose(interval_over_worlds(values), read)
    assert in_words(values, own=True) == "{:.2f} [{:.2f}, {:.2f}]".format(*own)


def test_one_world_has_the_interval_of_its_pairs() -> None:
    pairs = np.random.default_rng(0).random((6, 6))
    pairs += pairs.T
    values = xr.DataArray(pairs, dims=("seed_a", "seed_b")).where(~np.eye(6, dtype=bool))
    got, want = interval_over_worlds(values), pairwise_interval(pairs)
    assert np.allclose(got, want)
    worlds = xr.concat([values, values + 1, values + 2], "world_seed")
    assert np.allclose(interval_over_worlds(worlds), mean_interval(want.estimate + np.arange(3)))
    assert in_words(worlds) == "{:.2f} [{:.2f}, {:.2f}]".format(*interval_over_worlds(worlds))
