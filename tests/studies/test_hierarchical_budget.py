"""hierarchical_budget: codes cut to a budget, its words, and the whole in small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.hierarchical_budget.figure import APART, LINES, by_way, scores_by_budget
from synthsae.studies.hierarchical_budget.scores import (
    AT_BUDGET,
    AT_BUDGET_OF_WORLDS,
    at_budgets,
    planted_at_budgets,
)
from synthsae.studies.hierarchical_budget.study import finding

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
    "train.n_steps": "40",
    "train.batch_size": "64",
    "eval_samples": "500",
}


@pytest.fixture(scope="module", params=["topk", "hierarchical_topk"])
def run(request: pytest.FixtureRequest) -> Run:
    changes = TINY | {"sae.arch": request.param, "sae.k": 3, "n_seeds": 3}
    return run_cell(override(Config(), changes))


def test_cut_codes_by_hand(run: Run) -> None:
    """EV, L0 and live latents of the t largest activations, from the parameters alone."""
    ds = at_budgets(run)
    assert ds.budget.values.tolist() == [1, 2, 3]
    assert run.stack is not None
    p = {name: v.double().numpy() for name, v in run.stack.params.items()}
    x = run.world.batch(0, 4096, seed=0, stream="eval").double().numpy()[:500]
    for s in range(3):
        pre = np.maximum((x - p["b_dec"][s]) @ p["w_enc"][s].T + p["b_enc"][s], 0)
        for t in (1, 2, 3):
            kept = np.where(pre >= np.sort(pre, axis=1)[:, [-t]], pre, 0)
            miss = x - kept @ p["w_dec"][s] - p["b_dec"][s]
            at = ds.isel(seed=s).sel(budget=t)
            ev = 1 - (miss**2).sum() / ((x - x.mean(0)) ** 2).sum()
            assert at.budget_explained_variance == pytest.approx(ev, abs=1e-5)
            assert at.budget_l0 == pytest.approx((kept > 0).sum(1).mean(), abs=0.01)
            assert at.budget_dead_fraction == pytest.approx(1 - (kept > 0).any(0).mean(), abs=0.04)


def test_live_latents_by_hand(run: Run) -> None:
    """p_hat over what still fires at each budget, one latent and one other seed at a time."""
    ds, d = at_budgets(run), run.directions
    for t in (1, 2, 3):
        live = [np.flatnonzero(row) for row in run.with_k(t).live]
        for s, mine in enumerate(live):
            hits = [
                max((d[o, j] @ d[s, i] for j in live[o]), default=-1) >= 0.7
                for i in mine
                for o in range(3)
                if o != s
            ]
            at = ds.isel(seed=s).sel(budget=t)
            assert at.budget_live_reappearance == pytest.approx(np.mean(hits))


def test_the_whole_budget_is_the_run(run: Run) -> None:
    ds = xr.merge([at_budgets(run), planted_at_budgets(run)], join="exact")
    last = ds.sel(budget=3)
    taken = (scores.reconstruction, scores.block_stability, scores.feature_recovery)
    for measure in (*taken, scores.live_stability):
        for name, values in measure(run).items():
            if name in AT_BUDGET + AT_BUDGET_OF_WORLDS:
                assert np.array_equal(last[f"budget_{name}"], values, equal_nan=True), name
    with pytest.raises(ValueError, match="stack: None; allowed"):
        replace(run, stack=None).with_k(1)


def made() -> xr.Dataset:
    """Numbers that say where they come from: 10 arch + k + budget / 10, over 100."""
    axes = {"arch": ["topk", "hierarchical_topk"], "k": [1, 2, 4], "budget": [1, 2, 3, 4]}
    grid = [xr.DataArray(np.arange(2) * 10.0, {"arch": axes["arch"]}, ("arch",))]
    grid += [xr.DataArray(np.array(axes[n], float), {n: axes[n]}, (n,)) for n in ("k", "budget")]
    values = (grid[0] + grid[1] + grid[2] / 10) / 100
    seeds = xr.DataArray([-0.001, 0, 0.001], dims="seed")
    values = (values + seeds).where(grid[2] <= grid[1])
    names = ("explained_variance", "isolated_reappearance", "block_reappearance")
    ds = {f"budget_{n}": values for n in names}
    ds["budget_block_reappearance"] = values.expand_dims(block=2, axis=-1)
    ds["budget_coverage_prediction"] = ds["budget_block_reappearance"] + 0.25
    return xr.Dataset(ds)


def test_by_way() -> None:
    ways = by_way(made())
    ev = {way: ds.budget_explained_variance.mean("seed") for way, ds in ways.items()}
    assert all(v.budget.values.tolist() == [1, 2, 4] for v in ev.values())
    assert np.allclose(ev["each"] * 100, [1.1, 2.2, 4.4])
    assert np.allclose(ev["cut"] * 100, [4.1, 4.2, 4.4])
    assert np.allclose(ev["hierarchical"] * 100, [14.1, 14.2, 14.4])


def test_finding_and_figure_have_the_numbers() -> None:
    found = finding(made())
    assert found.values == pytest.approx({"low": 0.1, "high": 0.13, "cut": 0})
    assert found.table is not None
    assert found.table.budget.tolist() == [1, 2, 4]
    assert found.table["p_hat of features, each k"].tolist() == pytest.approx([0.011, 0.022, 0.044])
    gap = found.table["coverage law, each k"] - found.table["p_hat in blocks, each k"]
    assert np.allclose(gap, 0.25)
    axes = scores_by_budget(made()).axes
    for way, drawn in zip(LINES, axes[0].containers, strict=True):
        ev = by_way(made())[way].budget_explained_variance
        assert np.allclose(drawn[0].get_ydata(), ev.mean("seed"))
        assert np.allclose(drawn[0].get_xdata() - APART[way], [1, 2, 4])
        ends = np.array([segment[:, 1] for segment in drawn[2][0].get_segments()])
        score = mean_interval(ev.transpose(..., "seed").values)
        assert np.allclose(ends.T, [score.low, score.high])
    said = [ax.get_title(loc="left") for ax in axes]
    assert said[0].endswith("0.000 hierarchical, 0.000 one TopK cut")  # both above it
    assert said[1] == "p_hat of isolated features: TopK at each k\n1% to 4%, hierarchical 14%"
    same = made()
    same["budget_isolated_reappearance"] = same.budget_isolated_reappearance * 0 + 1
    less = same.arch == "hierarchical_topk"
    same["budget_explained_variance"] = same.budget_explained_variance - xr.where(less, 0.15, 0)
    figure = scores_by_budget(same)
    assert "loses at most 0.050 of explained variance" in figure.get_suptitle()
    said = [ax.get_title(loc="left") for ax in figure.axes]
    assert said[1] == "p_hat of isolated features:\n100% in all three"
    assert said[0].endswith("0.050 hierarchical, 0.000 one TopK cut")


def test_explained_variance_is_each_seeds_own_and_p_hat_is_not() -> None:
    """Bars of independent seeds beside the wider ones of a score that reads the other seeds."""
    axes, each = scores_by_budget(made()).axes, by_way(made())["each"]
    for ax, name, interval in (
        (axes[0], "explained_variance", mean_interval),
        (axes[1], "isolated_reappearance", row_interval),
    ):
        want = interval(each[f"budget_{name}"].transpose("budget", "seed").values)
        ends = np.array([s[:, 1] for s in ax.containers[0][2][0].get_segments()])
        assert np.allclose(ends, np.transpose([want.low, want.high]))


def test_without_truth_live_latents_beside_chance() -> None:
    known = made()
    ds = known[["budget_explained_variance"]]
    ds["budget_live_reappearance"] = known.budget_isolated_reappearance + 0.3
    ds["budget_live_reappearance_chance"] = known.budget_isolated_reappearance / 2
    found = finding(ds)
    assert found.values == pytest.approx({"low": 0.1, "high": 0.13, "cut": 0})
    assert found.table is not None
    assert found.table["p_hat, each k"].tolist() == pytest.approx([0.311, 0.322, 0.344])
    assert found.table["chance, HierarchicalTopK"].max() == pytest.approx(0.072)
    assert not [name for name in found.table if "features" in name]
    live = scores_by_budget(ds).axes[1]
    for way, drawn in zip(LINES, live.containers, strict=True):
        want = by_way(ds)[way].budget_live_reappearance.mean("seed")
        assert np.allclose(drawn[0].get_ydata(), want)
    dashed = [line for line in live.lines if line.get_linestyle() == "--"]
    for way, line in zip(LINES, dashed, strict=False):
        chance = by_way(ds)[way].budget_live_reappearance_chance.mean("seed")
        assert np.allclose(line.get_ydata(), chance)


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in (TINY | {"sae.k": "1,3"}).items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["hierarchical_budget", "--out", str(tmp_path), "--seeds", "3", *sets]) == 0
    assert "Against a TopK trained at each k" in capsys.readouterr().out
    ds = synthsae.open_results("hierarchical_budget", tmp_path)
    assert ds.budget_explained_variance.sel(k=1, budget=3).isnull().all()
    assert ds.budget_explained_variance.sel(k=3).notnull().all()
    assert (tmp_path / "hierarchical_budget" / "hierarchical_budget.png").stat().st_size > 1000
