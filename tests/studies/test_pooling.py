"""pooling: its words and figure have the Dataset's numbers, and the whole in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.pooling.figure import (
    LINES,
    before_training,
    finds_or_covers,
    needed,
    pools_by_size,
)
from synthsae.studies.pooling.finding import finding
from synthsae.studies.pooling.scores import scores

import synthsae
from synthsae.definitions import DEFAULTS
from synthsae.stats import mean_interval
from synthsae.study import cli

TINY = {
    "world.d_model": "20",
    "world.n_isolated": "6",
    "world.n_blocks": "2",
    "world.rank": "2,4",
    "sae.n_latents": "20",
    "train.n_steps": "30",
    "train.batch_size": "64",
    "eval_samples": "500",
    "world_seed": "0",
}


@pytest.fixture
def ds() -> xr.Dataset:
    """Made-up numbers: scores of their own, worlds that differ by .02."""
    rng = np.random.default_rng(0)
    coords = {"rank": [2, 8], "world_seed": [0, 1], "recipe": list(LINES), "pool_size": [1, 4]}
    dims = ("rank", "world_seed", "recipe", "pool_size", "side")
    made = {f"pool_{name}": (dims, rng.random((2, 2, 6, 2, 2))) for name in scores(DEFAULTS)}
    coords |= {"union_size": range(1, 8), "seed": range(8)}
    union = ("rank", "world_seed", "union_size", "seed")
    p = np.array([0.96, 0.25])[:, None, None, None] + np.array([-0.01, 0.01])[:, None, None]
    curve = 1 - (1 - p) ** np.arange(1, 8)[:, None] + np.zeros(8)
    made |= {"union_block_reappearance": (union, curve), "union_reappearance": (union, curve)}
    made["union_block_law"] = (union, curve + 0.031)
    made["union_features_found"] = (union[:3], rng.random((2, 2, 7)))
    return xr.Dataset(made, coords)


def test_seeds_needed() -> None:
    assert before_training([2, 3, 4, 6, 8, 12, 16], 0.7).tolist() == [1, 2, 3, 5, 9, 31, 106]
    sizes = np.arange(1, 12)
    values = xr.DataArray(1 - 0.7**sizes, {"union_size": sizes}, ("union_size",))
    assert needed(values) == 9
    assert needed(values.sel(union_size=slice(1, 8))) == np.inf


def test_finding_has_the_numbers(ds: xr.Dataset) -> None:
    found, mean = finding(ds), ds.mean(("world_seed", "side"))
    one = mean.sel({"rank": 8, "recipe": "kept", "pool_size": 1})
    pool = mean.sel({"rank": 8, "recipe": "refitted", "pool_size": 4})
    assert found.values == pytest.approx(
        {
            "many": pool.pool_features_found.item(),
            "one": one.pool_features_found.item(),
            "strict": pool.pool_block_strict_reappearance.item(),
            "rotated": pool.pool_block_strict_reappearance_law.item(),
        }
    )
    assert found.table is not None
    assert len(found.table) == 2 * (1 + len(LINES))
    for recipe in LINES:
        (row,) = found.table.query(f"rank == 8 and recipe == '{recipe}'").to_dict("records")
        want = mean.sel({"rank": 8, "recipe": recipe, "pool_size": 4})
        assert row["EV"] == pytest.approx(want.pool_explained_variance.item())
        assert row["found by another"] == pytest.approx(want.pool_reappearance.item())
        assert row["L0"] == pytest.approx(want.pool_l0.item())


def test_figure_has_the_numbers(ds: xr.Dataset) -> None:
    headline = finds_or_covers(ds)
    axes = [*headline.axes, *pools_by_size(ds).axes]
    assert (len(headline.axes), len(axes)) == (2, 6)
    many = ds.pool_features_found.sel(rank=8, recipe="refitted").isel(pool_size=-1).mean()
    assert f"find {many:.0%}" in headline.get_suptitle()
    for ax, name, least in (
        (axes[0], "features_found", 0),
        (axes[4], "explained_variance", -np.inf),
    ):
        values = ds[f"pool_{name}"].sel(rank=8)
        for recipe, bars in zip(LINES, ax.containers, strict=True):
            each = values.sel({"recipe": recipe}).mean("side")
            want = mean_interval(each.transpose("pool_size", "world_seed").values)
            np.testing.assert_allclose(bars[0].get_ydata(), want.estimate)
            ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
            np.testing.assert_allclose(ends[:, 0], np.maximum(want.low, least))
            np.testing.assert_allclose(ends[:, 1], np.minimum(want.high, 1))
    dots = axes[3].lines
    assert dots[0].get_ydata().tolist() == [1, 2, 3, 5, 9]  # measured up to rank 8
    assert dots[1].get_ydata().tolist() == [9, 31, 106]
    assert list(dots[2].get_ydata()) == [1, np.inf]
    for i, name in enumerate(("isolated", "isolated_strict", "block", "block_strict")):
        values = ds[f"pool_{name}_reappearance"].sel({"recipe": "refitted"}).isel(pool_size=1)
        seen = axes[1].containers[i]
        np.testing.assert_allclose(seen[0].get_ydata(), values.mean(("world_seed", "side")))
        ends = np.array([segment[:, 1] for segment in seen[2][0].get_segments()])
        assert ends.min() >= 0
        assert ends.max() <= 1
    rotated = [line for line in axes[1].lines if line.get_markersize() == 15]
    for line, name in zip(rotated, ("block", "block_strict"), strict=True):
        law = ds[f"pool_{name}_reappearance_law"].sel({"recipe": "refitted"}).isel(pool_size=1)
        np.testing.assert_allclose(line.get_ydata(), law.mean(("world_seed", "side")))


def test_one_cell_without_truth(ds: xr.Dataset) -> None:
    """A model has no rank, no worlds and no kinds: two and three panels, and a finding."""
    names = [n for n in ds if not any(w in str(n) for w in ("block", "isolated", "features"))]
    one = ds[names].isel(rank=0, world_seed=0, drop=True)
    shown = [
        [ax for ax in draw(one).axes if ax.axison] for draw in (finds_or_covers, pools_by_size)
    ]
    assert [len(axes) for axes in shown] == [2, 3]
    pool = one.sel({"recipe": "refitted"}).isel(pool_size=-1)
    assert finding(one).values["ev"] == pytest.approx(pool.pool_explained_variance.mean().item())


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["pooling", "--out", str(tmp_path), "--seeds", "4", *sets]) == 0
    assert "The largest pool finds" in capsys.readouterr().out
    saved = synthsae.open_results("pooling", tmp_path)
    assert saved.pool_size.values.tolist() == [1, 2]
    assert saved.pool_explained_variance.notnull().all()
    assert (tmp_path / "pooling" / "pooling.png").stat().st_size > 1000
