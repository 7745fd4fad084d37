"""The budget sweep in small, and its measures against independent computations."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.budget_sweep.figure import first_stable, stability_by_budget
from synthsae.studies.budget_sweep.scores import not_stable_subspace

import synthsae
from synthsae import scores
from synthsae.config import override
from synthsae.scores import run as results
from synthsae.stats import mean_interval, row_interval
from synthsae.study import cli

TINY = {
    "world.d_model": "16",
    "world.n_isolated": "6",
    "world.n_blocks": "2",
    "world.rank": "3",
    "train.n_steps": "0,80",
    "train.batch_size": "64",
    "n_seeds": "3",
    "eval_samples": "500",
}


@pytest.fixture(scope="module")
def run() -> results.Run:
    changes = TINY | {"train.n_steps": "80"}
    return results.run_cell(override(cli.load("budget_sweep").base, changes))


@pytest.mark.slow
def test_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["budget_sweep", "--out", str(tmp_path), *sets]) == 0
    assert "Isolated features come back" in capsys.readouterr().out
    ds = synthsae.open_results("budget_sweep", tmp_path)
    assert ds.training_samples.values.tolist() == [[0.0, 80 * 64]]
    assert float(ds.live_reappearance.sel(n_steps=0).max()) < 0.05
    assert float(ds.initial_reappearance.max()) < 0.05  # chance
    assert float(ds.not_stable_share.sel(n_steps=0).min()) == 1
    # no latent is stable, so nothing can be drawn for the null
    assert np.isnan(ds.not_stable_transfer.sel(n_steps=0)).all()
    assert np.isnan(ds.not_stable_transfer_null.sel(n_steps=0)).all()
    assert (tmp_path / "budget_sweep" / "budget_sweep.png").stat().st_size > 1000
    below = stability_by_budget(ds).axes[1]
    last = ds.isel(n_steps=-1).squeeze()
    names = ("not_stable_transfer", "not_stable_transfer_null")
    gain = row_interval((last[names[0]] - last[names[1]]).values)
    words = f"{gain.estimate:+.2f} over the null\n[{gain.low:.2f}, {gain.high:.2f}]"
    assert below.get_title(loc="left").endswith(words)
    overlap = mean_interval(last.subspace_overlap.mean("block").values)
    own = [mean_interval(last.explained_variance.values), overlap]
    of_others = [row_interval(last[n].values) for n in names]
    for drawn, score in zip(below.containers, own + of_others, strict=True):
        ends = drawn[2][0].get_segments()[-1][:, 1]
        assert np.allclose(ends, np.clip([score.low, score.high], 0, 1))


def test_live_stability(run: results.Run) -> None:
    ds = scores.live_stability(run)
    for s, d in enumerate(run.directions):
        live = np.flatnonzero(run.evaluation.rates[s] >= 1e-4)
        found = [
            (d[live] @ run.directions[t][run.live[t]].T).max(axis=1) >= 0.7
            for t in range(3)
            if t != s
        ]
        p = np.mean(found, axis=0)
        assert ds.live_latents[s] == len(live)
        assert np.isclose(ds.live_reappearance[s], p.mean())
        assert np.isclose(ds.stable_share[s], (p == 1).mean())
        assert np.isclose(ds.unstable_share[s], (p == 0).mean())


def test_not_stable_subspace(run: results.Run) -> None:
    ds = not_stable_subspace(run)
    live = [(d[on], p[on]) for d, on, p in zip(run.directions, run.live, run.p_hat, strict=True)]
    not_stable = [d[p < 0.95] for d, p in live]
    stable = [d[p >= 0.95] for d, p in live]
    for s, (a, b) in enumerate(zip(not_stable, stable, strict=True)):
        assert np.isclose(ds.not_stable_share[s], len(a) / run.live[s].sum())
        others = np.concatenate([x for t, x in enumerate(not_stable) if t != s])
        n = min(len(a), len(b))
        if n == 0:
            assert np.isnan(ds.not_stable_transfer[s])
            continue
        assert 1 <= ds.not_stable_dimension[s] <= n
        for rows, name in ((a, "not_stable_transfer"), (b, "not_stable_transfer_null")):
            if len(rows) > n:  # drawn: no more than all rows together hold
                projector = np.linalg.pinv(rows) @ rows
                assert ds[name][s] <= ((others @ projector) ** 2).sum(axis=1).mean() + 1e-9
                continue
            vectors = np.linalg.eigh(rows.T @ rows)[1]
            dims = float(ds.not_stable_dimension[s])
            if dims.is_integer():
                energy = (others @ vectors[:, ::-1][:, : int(dims)]) ** 2
                assert np.isclose(ds[name][s], energy.sum(axis=1).mean())


def test_first_stable_is_for_good() -> None:
    def at(*p: float) -> float:
        samples = ("n_steps", [0.0, 10.0, 20.0, 30.0])
        rows = (("n_steps", "seed"), np.transpose([p, p]))
        return first_stable(xr.Dataset(dict(training_samples=samples, isolated_reappearance=rows)))

    assert at(0, 0.5, 0.96, 1) == 20
    assert at(0, 0.96, 0.5, 1) == 30
    assert at(1, 1, 1, 1) == 0
    assert np.isnan(at(0, 1, 1, 0.9))
