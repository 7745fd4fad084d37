"""song_toy: its world, the curve on its figure, and the whole of it in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr
from synthsae.studies.song_toy.figure import agreement_by_samples, by_seed, rank_correlation

import synthsae
from synthsae.study import cli
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


def test_rank_correlation_is_within_a_setting() -> None:
    """By hand: a seed's PW-MCC is its mean over the others, and settings are not pooled."""
    pairs = np.full((2, 3, 3), np.nan)
    for n, rise in enumerate((0.0, 0.5)):
        for (s, t), p in {(0, 1): 0.1, (0, 2): 0.2, (1, 2): 0.3}.items():
            pairs[n, s, t] = pairs[n, t, s] = p + rise
    truth = np.array([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]])  # rises with each seed's mean, then falls
    dims = ("n_steps", "seed_a", "seed_b")
    ds = xr.Dataset({"pairwise_mcc": (dims, pairs), "feature_mcc": (("n_steps", "seed"), truth)})
    mcc, agreement = by_seed(ds)
    assert np.array_equal(mcc, truth)
    np.testing.assert_allclose(agreement, [[0.15, 0.2, 0.25], [0.65, 0.7, 0.75]])
    np.testing.assert_allclose(rank_correlation(ds), [1, -1])


def test_words_and_titles_have_the_numbers() -> None:
    rng = np.random.default_rng(0)
    coords = {"n_steps": [10, 20], "world_seed": [0, 1], "seed": range(5)}
    pairs = rng.random((2, 2, 5, 5)) * np.where(np.eye(5), np.nan, 1)
    ds = xr.Dataset(
        {
            "feature_mcc": (("n_steps", "world_seed", "seed"), rng.random((2, 2, 5))),
            "pairwise_mcc": (("n_steps", "world_seed", "seed_a", "seed_b"), pairs),
            "pairwise_mcc_chance": (("n_steps", "world_seed"), np.full((2, 2), 0.4)),
        },
        coords,
        {"config": '{"base": {"train": {"batch_size": 128}}}'},
    )
    each = [
        spearmanr(ds.feature_mcc[n, w], np.nanmean(pairs[n, w], axis=1)).statistic
        for n in range(2)
        for w in range(2)
    ]
    found = cli.load("song_toy").finding(ds)
    last = ds.isel(n_steps=-1)
    assert found.values == pytest.approx(
        {
            "order": np.mean(each),
            "pair": last.pairwise_mcc.mean().item(),
            "truth": last.feature_mcc.mean().item(),
            "chance": 0.4,
        }
    )
    figure = agreement_by_samples(ds)
    assert f"rank correlation {np.mean(each):.2f}" in figure.get_suptitle()
    right = figure.axes[1]
    assert right.get_title("left").endswith(f"{np.mean(each):.2f}")
    dots = right.lines[1:]
    for line, n in zip(dots, range(2), strict=True):
        assert np.array_equal(line.get_xdata(), np.ravel(ds.feature_mcc[n]))
        np.testing.assert_allclose(line.get_ydata(), np.nanmean(pairs[n], axis=2).ravel())


@pytest.mark.slow
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
