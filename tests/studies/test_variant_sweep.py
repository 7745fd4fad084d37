"""variant_sweep: interpolation, costs, its words on made-up numbers, and the whole in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.variant_sweep.figure import (
    COMPARED,
    architectures_by_ev,
    blocks_at_matched_ev,
    label,
)
from synthsae.studies.variant_sweep.matched import at_matched_ev, interpolate, matched_level
from synthsae.studies.variant_sweep.study import finding, study

import synthsae
from synthsae import scores
from synthsae.config import Config, override
from synthsae.scores.run import Run, run_cell
from synthsae.stats import mean_interval, row_interval
from synthsae.study import cli

TINY = {
    "world.d_model": "16",
    "world.n_isolated": "6",
    "world.n_blocks": "2",
    "world.rank": "3",
    "sae.k": "1,3",
    "train.n_steps": "40",
    "train.batch_size": "64",
    "eval_samples": "500",
}


def test_interpolate_is_numpys_where_ev_rises() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ev, y = np.sort(rng.random(5)), rng.standard_normal(5)
        level = rng.uniform(ev[0], ev[-1])
        assert interpolate(ev, y, level) == pytest.approx(np.interp(level, ev, y))
        for k in range(5):
            assert interpolate(ev, y, ev[k]) == pytest.approx(y[k])


def test_interpolate_never_extrapolates_and_takes_the_first_crossing() -> None:
    ev, y = np.array([0.2, 0.6, 0.4, 0.8]), np.array([0.0, 4.0, 8.0, 12.0])
    assert interpolate(ev, y, 0.5) == pytest.approx(3.0)
    for level in (0.19, 0.81):
        assert np.isnan(interpolate(ev, y, level))
    for some in (np.array([0.2, np.nan, 0.8]), np.array([0.5])):
        assert np.isnan(interpolate(some, np.ones(len(some)), 0.5))


def made(evs: dict[str, list[list[float]]], **scores: float) -> xr.Dataset:
    """A Dataset of architectures with EVs [k, seed]; each score is `scores` + EV - 1/2."""
    ev = xr.DataArray(
        list(evs.values()),
        {"arch": list(evs), "k": [1, 2, 4]},
        ("arch", "k", "seed"),
    )
    each = {name: ev - 0.5 + scores.get(name, 0.5) for name in COMPARED}
    for name in ("block_reappearance", "coverage_prediction", "subspace_overlap"):
        each[name] = each[name].expand_dims(block=2, axis=-1)
    each["coverage_prediction_sd"] = 0.01 + 0 * ev.mean("seed")
    return xr.Dataset(each | {"explained_variance": ev})


EVS = {
    "topk": [[0.1, 0.2, 0.15], [0.4, 0.5, 0.5], [0.9, 0.8, 0.9]],
    "kron": [[0.3, 0.3, 0.2], [0.5, 0.55, 0.45], [0.7, 0.8, 0.9]],
}


def test_the_level_is_the_middle_of_the_common_range() -> None:
    ds = made(EVS)
    assert matched_level(ds) == 0.5  # all reach .3 to .7
    assert matched_level(ds.isel(k=[2, 0, 1])) == 0.5
    assert matched_level(ds.sel(arch="topk")) == 0.5  # .2 to .8


def test_scores_at_the_level_are_those_of_each_seed() -> None:
    """Every score is a line in EV with slope 1, so at the level all seeds agree on it."""
    ds = made(EVS, l0=3.0)
    for part in (ds, ds.isel(k=[2, 0, 1])):
        got = at_matched_ev(part, COMPARED)
        assert got.level == 0.5
        assert np.allclose(got.l0, 3.0)
        assert np.allclose(got.block_reappearance, 0.5)
    got = at_matched_ev(ds, COMPARED, level=0.75)
    assert np.allclose(got.l0.sel(arch="topk"), 3.25)
    assert np.isnan(got.l0.sel(arch="kron").values).tolist() == [True, False, False]


def test_finding_can_say_no_and_yes() -> None:
    no = finding(made(EVS, subspace_overlap=0.99))
    assert "No variant makes block latents stable" in no.sentence
    assert "keep the subspace" in no.sentence
    assert no.values == pytest.approx({"p": 0.5, "law": 0.5, "overlap": 0.99})
    ds = made(EVS, subspace_overlap=0.99)
    ds["block_reappearance"] = ds.block_reappearance + xr.where(ds.arch == "kron", 0.46, 0)
    ds["subspace_overlap"] = ds.subspace_overlap - xr.where(ds.arch == "topk", 0.2, 0)
    yes = finding(ds)
    assert "KronSAE makes block latents stable" in yes.sentence
    assert "do not all keep the subspace: the least overlap is 0.79 (TopK)" in yes.sentence
    assert yes.values == pytest.approx({"p": 0.96, "law": 0.5, "overlap": 0.79})


def test_finding_says_what_is_not_compared() -> None:
    low = {"relu": [[0.01] * 3, [0.02] * 3, [0.03] * 3]}
    table = finding(made(EVS | low)).table  # the ranges have nothing in common
    assert table is not None
    assert table.set_index("architecture").p_hat.isna()["ReLU + L1"]
    assert "nothing is compared" in finding(made(EVS).isel(k=[0])).sentence


def test_the_figures_dots_are_the_numbers() -> None:
    rng = np.random.default_rng(1)
    ds = made(EVS)
    for name in COMPARED[:1] + COMPARED[3:7]:
        ds[name] = ds[name] * 0.5 + 0.2 * rng.random(ds[name].shape)
    matched = at_matched_ev(ds, COMPARED)
    left, right = blocks_at_matched_ev(ds).axes
    for drawn, name in zip(
        [*left.containers, *right.containers],
        ("block_reappearance", "isolated_reappearance", "subspace_overlap"),
        strict=True,
    ):
        x, y = drawn[0].get_data()
        assert list(y) == [0, 1]
        for i, segment in enumerate(drawn[2][0].get_segments()):
            values = matched[name].isel(arch=i)
            rows = values.mean("block").values if "block" in values.dims else values.values
            score = (mean_interval if name == "subspace_overlap" else row_interval)(rows)
            assert x[i] == pytest.approx(rows.mean())
            assert segment[:, 0] == pytest.approx(np.clip([score.low, score.high], 0, 1))
    law = next(line for line in left.lines if "coverage law" in str(line.get_label()))
    assert np.allclose(law.get_xdata(), matched.coverage_prediction.mean(("seed", "block")))
    assert right.get_xlim()[0] <= min(s[0, 0] for s in drawn[2][0].get_segments())
    assert [text.get_text() for text in left.get_yticklabels()] == ["TopK", "KronSAE"]


def test_the_title_answers_both_questions() -> None:
    ds = made(EVS, subspace_overlap=0.99)
    no = blocks_at_matched_ev(ds).get_suptitle()
    assert "no architecture makes block latents stable" in no
    assert "none loses the subspace" in no
    ds["block_reappearance"] = ds.block_reappearance + xr.where(ds.arch == "kron", 0.46, 0)
    ds["subspace_overlap"] = ds.subspace_overlap - xr.where(ds.arch == "topk", 0.2, 0)
    yes = blocks_at_matched_ev(ds).get_suptitle()
    assert "KronSAE makes block latents stable" in yes
    assert "TopK loses the subspace" in yes
    assert "nothing is compared" in blocks_at_matched_ev(ds.isel(k=[0])).get_suptitle()


def test_the_supplement_hides_nothing_and_names_everything() -> None:
    rng = np.random.default_rng(2)
    ds = made(EVS, l0=3.0, training_multiply_adds=1000.0, feature_mcc=0.99)
    ds["block_reappearance"] = ds.block_reappearance + 0.1 * rng.random((2, 3, 3, 2))
    ds["feature_mcc"] = ds.feature_mcc * 0 + 0.985 + 0.01 * rng.random((2, 3, 3))
    matched = at_matched_ev(ds, COMPARED)
    figure = architectures_by_ev(ds)
    axes = figure.axes
    assert [len(ax.containers) for ax in axes] == [ds.sizes["arch"]] * 7
    excess = (ds.block_reappearance - ds.coverage_prediction).mean("block").sel(arch="topk")
    assert np.allclose(axes[1].lines[0].get_ydata(), excess.mean("seed"))
    for bar, k in zip(axes[1].containers[0][2][0].get_segments(), ds.k.values, strict=True):
        score = row_interval(excess.sel(k=k).values)
        assert bar[:, 1] == pytest.approx([score.low, score.high])
    names = ("l0", "dead_fraction", "feature_mcc", "training_multiply_adds")
    for ax, name in zip(axes[3:], names, strict=True):
        for y, (arch, drawn) in enumerate(zip(ds.arch.values, ax.containers, strict=True)):
            score = mean_interval(matched[name].sel(arch=arch).values)
            assert drawn[0].get_xdata() == pytest.approx(float(score.estimate))
            assert drawn[0].get_ydata() == y
            ends = drawn[2][0].get_segments()[0][:, 0]
            most = 1 if score.estimate <= 1 else np.inf
            assert ends == pytest.approx(np.clip([score.low, score.high], 0, most))
    low, high = axes[5].get_xlim()  # what is near 1 has a range of its own, beyond every dot
    assert axes[5].get_xlabel() == f"axis from {low:.0%}"
    assert low < axes[5].dataLim.x0
    assert axes[5].dataLim.x1 < high
    (legend,) = [part for frame in figure.subfigs for part in frame.subfigs[0].legends]
    assert [text.get_text() for text in legend.get_texts()] == [label(a) for a in ds.arch.values]


def run_of(arch: str) -> Run:
    changes = {name: v for name, v in TINY.items() if name != "sae.k"}
    more = {"sae.arch": arch, "sae.n_latents": 32, "n_seeds": 2, "train.n_steps": 3}
    return run_cell(override(Config(), changes | more))


@pytest.mark.parametrize(
    ("arch", "parameters", "encoder", "rows"),
    [
        ("topk", 2 * 32 * 16 + 32 + 16, 32 * 16, 4),
        ("batchtopk", 2 * 32 * 16 + 32 + 16, 32 * 16, 4),
        ("gated", 2 * 32 * 16 + 3 * 32 + 16, 32 * 16, 6),
        ("jumprelu", 2 * 32 * 16 + 2 * 32 + 16, 32 * 16, 4),
        ("hierarchical_topk", 2 * 32 * 16 + 32 + 16, 32 * 16, 6),
        ("kron", 2 * (4 + 4) * 17 + 32 * 16 + 16, 16 * 2 * (4 + 4) + 32, 5),  # 2 heads of 4 x 4
    ],
)
def test_costs_by_hand(arch: str, parameters: int, encoder: int, rows: int) -> None:
    run = run_of(arch)
    ds = scores.training_cost(run)
    assert int(ds.parameters) == parameters
    assert int(ds.encoder_multiply_adds) == encoder
    l0 = scores.reconstruction(run).l0
    assert np.allclose(ds.training_multiply_adds, encoder + rows * 16 * l0)


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["variant_sweep", "--out", str(tmp_path), "--seeds", "3", *sets]) == 0
    assert "makes block latents stable" in capsys.readouterr().out
    ds = synthsae.open_results("variant_sweep", tmp_path)
    assert ds.sizes["arch"] == len(study.axes["sae.arch"]) == 8
    assert ds.explained_variance.notnull().all()
    assert (tmp_path / "variant_sweep" / "variant_sweep.png").stat().st_size > 1000
