"""excess: the arithmetic of its figure, that the law holds and breaks, the whole in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.excess.figure import (
    SUSPECTS,
    conditions,
    excess,
    excess_by_suspect,
    haar_sd,
    laws_by_suspect,
)

import synthsae
from synthsae.stats import mean_interval
from synthsae.study import cli

TINY = {
    "world.d_model": "16",
    "world.n_isolated": "4",
    "world.n_blocks": "2",
    "world.rank": "4",
    "sae.n_latents": "28",
    "train.n_steps": "10,150",
    "train.batch_size": "128",
    "eval_samples": "2000",
    "world_seed": "0,1",
    "world.leaning": "false",
    "train.data": "independent",
}


def test_excess_and_its_sd() -> None:
    p = xr.DataArray([[[0.5, 0.7]], [[0.3, 0.5]]], dims=("world_seed", "seed", "block"))
    ds = xr.Dataset({"block_reappearance": p, "coverage_prediction": p * 0 + 0.4})
    ds["coverage_prediction_sd"] = ("world_seed", [0.03, 0.04])
    assert np.allclose(excess(ds), [0.2, 0.0])
    assert haar_sd(ds) == pytest.approx(0.025)  # of the mean of two independent worlds


def test_conditions_change_one_thing_each() -> None:
    sizes = {"n_steps": 2, "leaning": 2, "data": 2, "init": 2}
    where = np.arange(16).reshape(*sizes.values())
    ds = xr.Dataset({"cell": (tuple(sizes), where)})
    got = {label: int(part.cell) for label, part in conditions(ds)}
    assert list(got) == list(SUSPECTS)
    assert got["clean baseline"] == where[-1, 0, 0, 0]
    assert got["few samples"] == where[0, 0, 0, 0]
    assert got["shared batches, few samples"] == where[0, 0, 1, 0]
    assert len(set(got.values())) == len(SUSPECTS)
    labels = [label for label, _ in conditions(ds.isel(data=0))]
    assert labels == [name for name in SUSPECTS if "batches" not in name]


def made() -> xr.Dataset:
    """Two worlds; a shared start adds .3 to p_hat, the law is .4 with an sd of .01 a world."""
    law = xr.DataArray(np.full((2, 2), 0.4), dims=("init", "world_seed"))
    moved = xr.DataArray([[-0.01, 0.01], [0.28, 0.32]], dims=law.dims)
    return xr.Dataset(
        {
            "block_reappearance": law + moved,
            "coverage_prediction": law,
            "coverage_closed_form": law + 0.1,
            "coverage_prediction_sd": 0 * law + 0.01,
        }
    )


def test_the_figure_judges_by_haar_sd_and_shows_intervals_over_worlds() -> None:
    figure = excess_by_suspect(made())
    assert figure.get_suptitle().endswith("more than chance:\nshared start (+0.30)")
    (ax,) = figure.axes
    bars = ax.containers
    clean, shared = (b for b in bars if not hasattr(b, "patches"))
    for drawn, worlds, filled in ((clean, [-0.01, 0.01], False), (shared, [0.28, 0.32], True)):
        want = mean_interval(worlds)
        ((left, _), (right, _)) = drawn[2][0].get_segments()[0]
        assert np.allclose(drawn[0].get_xdata().astype(float), want.estimate)
        assert (left, right) == pytest.approx((want.low, want.high))
        assert (drawn[0].get_markerfacecolor() != "white") == filled
    band = next(b for b in bars if hasattr(b, "patches")).patches[0]
    assert band.get_width() == pytest.approx(4 * 0.01 / 2**0.5)
    quiet = excess_by_suspect(made().isel(init=[0])).get_suptitle()
    assert quiet.startswith("No condition")


def test_the_supplement_says_where_overlaps_matter_most() -> None:
    ds = made()
    ds["coverage_closed_form"] = ds.coverage_closed_form + xr.DataArray([0.0, 0.05], dims="init")
    figure = laws_by_suspect(ds)
    assert "most with shared start: p_hat is 0.70,\nthe law 0.40, and 0.55" in figure.get_suptitle()
    drawn = [float(line.get_xdata()[0]) for line in figure.axes[0].lines]
    assert drawn == pytest.approx([0.4, 0.4, 0.5, 0.7, 0.4, 0.55])


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["excess", "--out", str(tmp_path), "--seeds", "3", *sets]) == 0
    ds = synthsae.open_results("excess", tmp_path)
    found = dict(conditions(ds))
    assert list(found) == ["clean baseline", "shared start", "few samples"]
    clean, shared = found["clean baseline"], found["shared start"]
    assert abs(excess(clean).mean()) <= 4 * haar_sd(clean)  # the law holds where nothing is broken
    assert excess(shared).mean() >= 4 * haar_sd(shared)  # and a shared start breaks it
    assert float(shared.initial_reappearance.mean()) == 1
    assert "shared start" in capsys.readouterr().out
    assert (tmp_path / "excess" / "excess.png").stat().st_size > 1000
