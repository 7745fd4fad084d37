"""consensus: its measure against a world whose SAEs are known, its figure, the whole in small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import beta
from synthsae.studies.consensus.counts import (
    ENOUGH,
    recall,
    recall_interval,
    share_wrong,
    worst,
)
from synthsae.studies.consensus.figure import errors_by_setting, lists_by_seeds
from synthsae.studies.consensus.scores import consensus_lists, lists_against_truth
from synthsae.studies.consensus.study import finding

import synthsae
from synthsae.config import Config, override
from synthsae.evaluation import Evaluation
from synthsae.geometry import haar, unit
from synthsae.scores.run import Run
from synthsae.stats import mean_interval
from synthsae.study import cli
from synthsae.world import World

FIELDS = {
    "world.d_model": 32,
    "world.n_isolated": 6,
    "world.zipf": 1.0,
    "world.isolated_p_max": 0.1,
    "world.isolated_p_min": 0.002,
    "world.n_blocks": 3,
    "world.rank": 3,
    "n_seeds": 8,
}


def known(alien: bool = False) -> Run:
    """Eight seeds that learned every feature but the last, and turned codes in every block.

    With an `alien`, also a direction that is not planted, the same in all.
    """
    config = override(Config(), FIELDS)
    world, rng, rows = World.plant(config.world, seed=0), np.random.default_rng(0), []
    others = np.linalg.qr(np.concatenate([world.features.T, *world.bases], axis=1))[0]
    away = rng.standard_normal(32)
    away = unit(away - others @ (others.T @ away))[None]
    for _ in range(8):
        turned = [haar(3, rng) @ u.T for u in world.bases]
        extra = away if alien else rng.standard_normal((1, 32))
        rows.append(np.concatenate([world.isolated[:5], extra, *turned, *(-t for t in turned)]))
    d = unit(np.array(rows) + 0.003 * rng.standard_normal((8, 24, 32)))
    seen = Evaluation(unit(d), np.full((8, 24), 0.1), np.ones(8))
    return Run(config, world, tuple(range(8)), {}, seen)


def judged(run: Run) -> xr.Dataset:
    """The lists, and how right they are."""
    return xr.merge([consensus_lists(run), lists_against_truth(run)], join="exact")


def test_both_scores_share_one_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    from synthsae.studies.consensus import scores as own

    asked, plain = [], own.consensus
    monkeypatch.setattr(own, "consensus", lambda *a: asked.append(a) or plain(*a))
    run = known()
    alone = lists_against_truth(run)
    n = len(asked)
    consensus_lists(run)
    assert n == len(asked) == int(consensus_lists(known()).seed_sets.sum())
    xr.testing.assert_identical(alone, lists_against_truth(known()))


def test_lists_against_the_truth() -> None:
    ds = judged(known())
    assert ds.n_used.values.tolist() == [2, 3, 4, 8]
    assert ds.seed_sets.values.tolist() == [4, 2, 2, 1]
    at = ds.sel(n_used=8, level=0.95)
    assert (at.identities_listed, at.identities_wrong) == (5, 0)
    assert (at.subspaces_listed, at.subspaces_wrong, at.ranks_covered) == (3, 0, 3)
    assert at.feature_recall.values.tolist() == [1, 1, 1, 1, 1, 0]
    assert at.block_recall.values.tolist() == [1, 1, 1]
    assert np.allclose(
        ds.feature_rate, World.plant(known().config.world, seed=0).config.firing_probabilities()
    )
    assert (ds.identities_listed.diff("level") <= 0).all()


def test_a_direction_that_is_not_planted_is_wrong() -> None:
    at = judged(known(alien=True)).sel(n_used=8, level=0.95)
    assert (at.identities_listed, at.identities_wrong) == (6, 1)


def test_a_wrong_subspace_is_wrong() -> None:
    """The planted blocks of another world: what was found is of no use."""
    run = known()
    other = replace(run, source=World.plant(run.config.world, seed=1))
    at = judged(other).sel(n_used=8, level=0.95)
    assert (at.subspaces_listed, at.subspaces_wrong, at.ranks_covered) == (3, 3, 0)
    assert (at.identities_listed, at.identities_wrong) == (5, 5)


def test_both_ends_of_a_rank_1_block_are_features() -> None:
    config = override(Config(), FIELDS | {"world.rank": 1})
    world = World.plant(config.world, seed=0)
    d = np.repeat(np.concatenate([world.bases[:, :, 0], -world.bases[:, :, 0]])[None], 4, axis=0)
    run = Run(config, world, (0, 1, 2, 3), {}, Evaluation(d, np.ones((4, 6)), np.ones(4)))
    ds = judged(run)
    at = ds.sel(n_used=4, level=0.95)
    assert (at.identities_listed, at.identities_wrong, at.subspaces_listed) == (6, 0, 0)
    assert np.isnan(ds.block_recall).all()


@pytest.fixture
def ds() -> xr.Dataset:
    """Made-up counts, each in a range of its own."""
    grid, shape = ("rank", "n_used", "level"), (2, 2, 2)
    rng = np.random.default_rng(0)
    made = xr.Dataset(
        {
            "identities_listed": (grid, np.full(shape, 50)),
            "identities_wrong": (grid, np.full(shape, 1)),
            "subspaces_listed": (grid, np.full(shape, 10)),
            "subspaces_wrong": (grid, np.zeros(shape, int)),
            "seed_sets": (("rank", "n_used"), np.ones((2, 2), int)),
            "feature_recall": ((*grid, "feature"), rng.random((*shape, 3))),
            "block_recall": ((*grid, "block"), rng.random((*shape, 2))),
            "feature_rate": (("rank", "feature"), [[0.1, 0.01, 0.001]] * 2),
        },
        {"rank": [2, 4], "n_used": [4, 8], "level": [0.8, 0.95]},
    )
    return made


def test_the_figure_and_the_finding_have_the_numbers(ds: xr.Dataset) -> None:
    wrong = share_wrong(ds.sel(level=0.95), "identities")
    assert wrong.estimate == pytest.approx(4 / 200)
    assert wrong.low == pytest.approx(beta.ppf(0.025, 4, 197))
    assert wrong.high == pytest.approx(beta.ppf(0.975, 5, 196))
    found = finding(ds)
    assert found.values["identities"] == pytest.approx(0.02)
    assert found.values["subspaces"] == 0
    assert found.table is not None
    assert found.table["subspaces wrong, at most"].iloc[0] == pytest.approx(beta.ppf(0.975, 1, 20))
    held = float(ds.block_recall.sel(level=0.95, n_used=8).mean())
    assert found.table["blocks listed"].iloc[-1] == pytest.approx(held)
    features, blocks, errors = lists_by_seeds(ds).axes
    drawn = {bar.get_label(): bar[0].get_ydata() for bar in features.containers}
    mean = ds.feature_recall.sel(level=0.95, n_used=4).mean("rank")
    assert np.allclose(drawn["4 seeds"], mean)
    drawn = {bar.get_label(): bar[0].get_ydata() for bar in blocks.containers}
    assert np.allclose(drawn["rank 4"], ds.block_recall.sel(rank=4, level=0.95).mean("block"))
    assert np.allclose(recall(ds, "block").sel(level=0.95, n_used=8), held)
    bars = errors.containers[0][0].get_ydata()
    assert np.allclose(bars, 0.02)


def test_the_worst_setting(ds: xr.Dataset) -> None:
    """The largest share, of a number of seeds and rank with enough entries."""
    wrong = ds.subspaces_wrong.copy()
    wrong.loc[dict(rank=2, n_used=4, level=0.95)] = 3
    wrong.loc[dict(rank=4, n_used=8, level=0.95)] = 4
    listed = ds.subspaces_listed.copy()
    listed.loc[dict(rank=2, n_used=4)] = ENOUGH
    listed.loc[dict(rank=2, n_used=8)] = 2 * ENOUGH
    ds = ds.assign(subspaces_wrong=wrong, subspaces_listed=listed)
    found = worst(ds.sel(level=0.95), "subspaces")
    assert found is not None
    assert (found.setting, found.wrong, found.listed) == ("4 seeds at rank 2", 3, ENOUGH)
    assert found.share.high == pytest.approx(beta.ppf(0.975, 4, ENOUGH - 3))
    (line,) = lists_by_seeds(ds).axes[2].containers[2][0].get_ydata()
    assert line == pytest.approx(3 / ENOUGH)
    assert worst(ds.sel(level=0.95, n_used=8, rank=[4]).expand_dims("n_used"), "subspaces") is None


def test_the_message_and_the_supplement_count_errors(ds: xr.Dataset) -> None:
    figure = lists_by_seeds(ds)
    said = figure.get_suptitle()
    held = [
        float(ds[n].sel(level=0.95, n_used=8).mean()) for n in ("block_recall", "feature_recall")
    ]
    assert f"From 8 seeds the lists hold {held[0]:.0%} of the blocks and {held[1]:.0%}" in said
    assert "4 of 200 latents and 0 of 40 subspaces, where 5% are allowed" in said
    identities, subspaces = errors_by_setting(ds).axes
    assert [text.get_text() for text in identities.texts] == ["1 of 50"] * 4
    assert [text.get_text() for text in subspaces.texts] == ["0 of 10"] * 4
    for bars in identities.containers:
        assert np.allclose(bars[0].get_ydata(), 1 / 50)
        ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
        assert np.allclose(ends, [beta.ppf(0.025, 1, 50), beta.ppf(0.975, 2, 49)])
    nothing = ds.assign(identities_listed=0 * ds.identities_listed)
    assert not errors_by_setting(nothing).axes[0].texts


def test_recall_has_its_interval_over_worlds() -> None:
    values = [[[0.2, 0.4]], [[0.6, 0.8]]]
    worlds = xr.Dataset({"block_recall": (("world_seed", "n_used", "block"), values)})
    got = recall_interval(worlds, "block")
    want = mean_interval([0.3, 0.7])
    assert np.allclose([got.estimate, got.low, got.high], np.reshape(want, (3, 1)))


def test_without_a_truth_there_are_lengths(ds: xr.Dataset) -> None:
    bare = ds[["identities_listed", "subspaces_listed", "seed_sets"]]
    assert finding(bare).values == {"n": 8, "latents": 50, "subspaces": 10}
    assert len(lists_by_seeds(bare).axes) == 1
    for ax, length in zip(errors_by_setting(bare).axes, (50, 10), strict=True):
        assert [line.get_label() for line in ax.lines] == ["level 80%", "level 95%"]
        assert all(np.allclose(line.get_ydata(), length) for line in ax.lines)


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tiny = {
        "world.d_model": 24,
        "world.n_isolated": 6,
        "world.n_blocks": 2,
        "world.rank": "2,3",
        "world.block_p": 0.15,
        "world_seed": 0,
        "sae.k": 1,
        "sae.n_latents": 20,
        "train.n_steps": 200,
        "train.batch_size": 256,
        "eval_samples": 3000,
    }
    sets = [x for f, v in tiny.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["consensus", "--out", str(tmp_path), "--seeds", "8", *sets]) == 0
    ds = synthsae.open_results("consensus", tmp_path)
    at = ds.sel(level=0.95, n_used=8)
    assert float(at.identities_wrong.sum()) <= 1
    assert float(at.feature_recall.isel(feature=slice(3)).mean()) == 1  # the frequent ones
    assert float(at.block_recall.mean()) >= 0.5
    assert "listed at 95%" in capsys.readouterr().out
    assert (tmp_path / "consensus" / "consensus.png").stat().st_size > 1000
