"""asymmetry: costs against zeroing, the ideal code against arithmetic, invariance, the whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from synthsae.studies.asymmetry import scores as asymmetry
from synthsae.studies.asymmetry.figure import (
    _beside,
    at_equal_rate,
    common_count,
    explained,
    measured,
    predicted,
    ratio,
    worlds,
)
from synthsae.studies.asymmetry.headline import cost_at_equal_rate
from synthsae.studies.asymmetry.ideal import ideal_code
from synthsae.studies.asymmetry.masking import masking_by_class
from synthsae.studies.asymmetry.scores import class_in_blocks, latent_function
from synthsae.studies.asymmetry.study import finding

import synthsae
from synthsae.config import Config, override
from synthsae.evaluation import Evaluation, held_out
from synthsae.metrics import function, reappearance
from synthsae.metrics.regression import least_squares
from synthsae.sae import SAEStack
from synthsae.scores.run import Run, run_cell
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval
from synthsae.study import cli
from synthsae.world import World

TINY = {
    "world.d_model": "24",
    "world.n_isolated": "16",
    "world.isolated_p": "0.05",
    "world.n_blocks": "1",
    "world.rank": "8",
    "train.n_steps": "200",
    "train.batch_size": "256",
    "n_seeds": "4",
    "eval_samples": "6000",
}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_cell(override(cli.load("asymmetry").base, TINY))


def codes(run: Run, n_samples: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The held-out samples x [B, D] and their dense codes [S, B, M], batch by batch."""
    assert run.stack is not None
    stack, m = run.stack, run.live.shape[1]
    batches = held_out(run.source, n_samples, stack=stack)
    return [(held.x, stack.encode(held.x).dense(m)) for held in batches]


def zeroed(run: Run, s: int, latents: np.ndarray) -> float:
    """EV with latents of seed s zeroed, all samples at once."""
    assert run.stack is not None
    x, z = (
        torch.cat(v, dim=d)
        for v, d in zip(
            zip(*codes(run, run.config.eval_samples), strict=True),
            (0, 1),
            strict=True,
        )
    )
    z = z[s].clone()
    z[:, latents] = 0
    w, b = (run.stack.params[name][s] for name in ("w_dec", "b_dec"))
    return float(function.explained_variance(x.numpy(), (z @ w + b).numpy()))


def test_cost_is_the_ev_lost_by_zeroing(run: Run) -> None:
    cost, energy = asymmetry.removal(run)
    whole = run.evaluation.explained_variance
    for s, i in [(0, 0), (0, 17), (2, 5), (3, 47)]:
        assert cost[s, i] == pytest.approx(whole[s] - zeroed(run, s, np.array([i])), abs=2e-6)
    assert run.stack is not None
    z = torch.cat([z for _, z in codes(run, 6000)], dim=1).double()
    x = torch.cat([x for x, _ in codes(run, 6000)]).double()
    variance = x.var(0, correction=0).sum()
    assert np.allclose(energy, (z**2).mean(1) / variance, rtol=1e-4)


def test_blocks_of_latents_give_the_same_costs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = asymmetry.removal(run)
    monkeypatch.setattr(asymmetry, "AT_ONCE", 7)
    assert np.allclose(asymmetry.removal(run), whole, atol=1e-12)


def test_after_training_a_latent_costs_its_energy(run: Run) -> None:
    """-2 z <e, w> vanishes on average: what is left is 0 within the error of the samples."""
    ds = latent_function(run)
    assert np.allclose(ds.class_energy, ds.class_cost, rtol=0.05, equal_nan=True)
    untrained = run_cell(override(run.config, {"train.n_steps": "0"}))
    cost, energy = asymmetry.removal(untrained)
    assert np.abs(cost / energy - 1)[untrained.live].mean() > 0.3


def test_classes_by_hand(run: Run) -> None:
    ds = xr.merge([latent_function(run), class_in_blocks(run)], join="exact")
    label = reappearance.labels(run.p_hat)
    assert {"stable", "unstable"} <= set(label[0])
    inside = np.linalg.norm(run.directions @ run.bases[0], axis=2) ** 2 >= 0.5
    for s in range(4):
        for name in ("stable", "middle", "unstable"):
            here, got = label[s] == name, ds.sel(label=name).isel(seed=s)
            assert got.class_share == pytest.approx(here.sum() / run.live[s].sum())
            if here.any():
                assert got.class_rate == pytest.approx(run.evaluation.rates[s, here].mean())
                assert got.class_cost == pytest.approx(float(ds.latent_cost[s][here].mean()))
                assert got.class_in_blocks == pytest.approx(inside[s, here].mean())
        used = (run.live[s] & (ds.latent_cost[s] > 0)).values
        y, rate = np.log(ds.latent_cost[s][used]), np.log(run.evaluation.rates[s, used])
        design = np.column_stack([rate, run.p_hat[s, used], np.ones(used.sum())])
        slopes = np.linalg.lstsq(design, y, rcond=None)[0]
        assert np.allclose([ds.rate_slope[s], ds.p_hat_slope[s]], slopes[:2])
        assert ds.useless_share[s] == pytest.approx(1 - used.sum() / run.live[s].sum())
        without = np.corrcoef(rate, y)[0, 1] ** 2
        assert ds.p_hat_unique[s] == pytest.approx(float(ds.cost_r2[s]) - without)


def test_masking_a_whole_class_is_zeroing_it(run: Run) -> None:
    ds, label = masking_by_class(run, draws=2), reappearance.labels(run.p_hat)
    cost = latent_function(run).latent_cost
    assert np.array_equal(ds.masked_cost.sel(masked=0), np.zeros((4, 3)))
    for s in range(4):
        for name in ("stable", "unstable"):
            here, got = label[s] == name, ds.sel(label=name).isel(seed=s)
            n = int(here.sum())
            lost = run.evaluation.explained_variance[s] - zeroed(run, s, np.flatnonzero(here))
            assert float(got.masked_cost[n]) == pytest.approx(lost, abs=1e-5)
            assert float(got.summed_cost[n]) == pytest.approx(float(cost[s][here].sum()))
            assert np.isnan(got.masked_cost[n + 1 :]).all()
    few = masking_by_class(run, n=3, draws=1)
    assert few.sizes["masked"] == 4


def reordered(run: Run, seeds: list[int], latents: np.ndarray) -> Run:
    assert run.stack is not None
    stack = run.stack.select(seeds)
    by_latent = {"w_enc", "b_enc", "w_dec"}
    params = {n: p[:, latents] if n in by_latent else p for n, p in stack.params.items()}
    seen = run.evaluation
    pick = np.ix_(seeds, latents)
    shown = Evaluation(seen.directions[pick], seen.rates[pick], seen.explained_variance[seeds])
    return Run(
        run.config,
        run.source,
        stack.seeds,
        {},
        shown,
        stack=SAEStack(stack.config, stack.seeds, params),
    )


@pytest.mark.slow
def test_nothing_depends_on_the_order_of_seeds_and_latents(run: Run) -> None:
    other = reordered(run, [2, 0, 3, 1], np.random.default_rng(0).permutation(48))
    a, b = latent_function(run), latent_function(other).sel(seed=[0, 1, 2, 3])
    for name in set(a) - {"latent_rate", "latent_cost", "latent_reappearance"}:
        assert np.allclose(a[name], b[name], equal_nan=True, atol=1e-6), name
    seeds = reordered(run, [2, 0, 3, 1], np.arange(48))
    a, b = masking_by_class(run), masking_by_class(seeds).sel(seed=[0, 1, 2, 3])
    for name in a:
        assert np.allclose(a[name], b[name], equal_nan=True, atol=1e-6), name


@pytest.mark.parametrize(
    ("change", "rate", "energy"),
    [
        # every feature fits into k: it fires as planted, with a share of 1 / F of the variance
        ({"n_blocks": 0, "n_isolated": 8}, (0.05, np.nan), (None, np.nan)),
        # half of a frame's directions are positive; the block is all there is
        ({"n_blocks": 1, "n_isolated": 0, "rank": 2}, (np.nan, 0.075), (np.nan, 1 / 4)),
        ({"n_blocks": 2, "n_isolated": 0, "rank": 3}, (np.nan, 0.075), (np.nan, 1 / 12)),
        # atoms fire on their own: 1 - .85^(1/4) of the samples
        (
            {"n_blocks": 1, "n_isolated": 0, "rank": 4, "law": "sparse"},
            (np.nan, 0.0398),
            (np.nan, None),
        ),
    ],
)
def test_the_ideal_code_by_arithmetic(change: dict, rate: tuple, energy: tuple) -> None:
    changes = {f"world.{name}": value for name, value in change.items()}
    config = override(
        Config(),
        {"world.block_p": 0.15, "world.d_model": 16, "sae.k": 12, "eval_samples": 60_000}
        | {"train.n_steps": 0, "n_seeds": 2}
        | changes,
    )
    ds = ideal_code(run_cell(config))
    error = 5 * np.sqrt(0.1 / 60_000)
    for kind, r, e in zip(("isolated", "block"), rate, energy, strict=True):
        assert float(ds[f"ideal_rate_{kind}"]) == pytest.approx(r, abs=error, nan_ok=True)
        if e is not None:
            assert float(ds[f"ideal_cost_{kind}"]) == pytest.approx(e, rel=1e-3, nan_ok=True)


def test_ratios_and_common_count() -> None:
    log = np.array([[1.0, 2.0, 0.5], [2.0, 2.0, 0.5], [4.0, 2.0, 0.5]])
    values = xr.DataArray(log, {"label": ["stable", "middle", "unstable"]}, ("seed", "label"))
    assert ratio(values).estimate == pytest.approx(4)
    both = measured(xr.Dataset({"class_rate": values, "class_cost": values**3}))
    assert [float(v.estimate) for v in both.values()] == pytest.approx([4, 64, 16])
    ds = xr.Dataset({"p_hat_slope": ("seed", np.log([2.0, 4, 8]))})
    assert at_equal_rate(ds).estimate == pytest.approx(4)
    curves = np.full((3, 3, 6), 0.1)
    curves[1, 0, 4:] = np.nan
    curves[:, 1] = np.nan  # the middle class does not count
    ds = xr.Dataset({"masked_cost": (("seed", "label", "masked"), curves)}).assign_coords(
        label=values.label, masked=np.arange(6)
    )
    ds["matched_cost"] = ds.masked_cost + 1
    assert common_count(ds) == 3
    ideal = {"ideal_rate_isolated": 6.0, "ideal_rate_block": 2.0}
    ideal |= {"ideal_cost_isolated": 12.0, "ideal_cost_block": 1.0}
    assert predicted(xr.Dataset(ideal)) == {"rate": 3, "cost": 12, "cost per firing": 4}
    assert predicted(xr.Dataset()) == {}


def test_shares_where_one_variable_hides_the_other() -> None:
    """Log cost y = rate + 2 p_hat with y and rate uncorrelated: rate counts only beside p_hat."""
    noise = np.random.default_rng(0).standard_normal((200, 2))
    rate, y = np.linalg.qr(np.column_stack([np.ones(200), noise]))[0][:, 1:].T
    fit = least_squares(y, np.column_stack([rate, (y - rate) / 2]))
    one = {"cost_r2": fit.r2, "rate_unique": fit.unique[0], "p_hat_unique": fit.unique[1]}
    got = explained(xr.Dataset({name: ("seed", [v] * 3) for name, v in one.items()}))
    assert {name: round(float(v.estimate), 9) for name, v in got.items()} == {
        "both": 1,
        "rate by itself": 0,
        "rate adds to p_hat": 0.5,
        "p_hat by itself": 0.5,
        "p_hat adds to rate": 1,
    }


def test_predictions_that_miss_are_named() -> None:
    score = Interval(*np.array([2.0, 1.0, 3.0]))
    assert _beside(score, 2.5) == ", predicted 2.5"
    assert _beside(score, 3.5) == ", predicted 3.5 (missed)"
    assert _beside(score, 0.5) == ", predicted 0.5 (missed)"


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    sets[sets.index("world.isolated_p=0.05")] = "world.isolated_p=0.05,0.01"
    assert cli.main(["asymmetry", "--out", str(tmp_path), *sets]) == 0
    ds = synthsae.open_results("asymmetry", tmp_path)
    table, parts = finding(ds).table, list(worlds(ds))
    assert table is not None
    assert table.world.tolist() == [name for name, _ in parts]
    unique = [float(interval_of(part.p_hat_unique).estimate) for _, part in parts]
    assert table["R2 p_hat adds to rate"].tolist() == pytest.approx(unique)
    assert "times as much explained variance" in capsys.readouterr().out
    assert (tmp_path / "asymmetry" / "asymmetry.png").stat().st_size > 1000


def test_the_function_of_latents_needs_no_truth(run: Run) -> None:
    class Samples:
        d_model, batch = run.world.d_model, run.world.batch

    blind = replace(run, source=Samples())
    a, b = latent_function(run), latent_function(blind)
    xr.testing.assert_identical(a, b)


@pytest.mark.slow
def test_an_array_in_place_of_the_world(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    world = World.plant(override(cli.load("asymmetry").base, TINY).world, seed=0)
    np.save(tmp_path / "x.npy", world.batch(0, 30_000, seed=0).numpy())
    one = {"source.arrays": str(tmp_path / "x.npy"), "source.passes": "1", "eval_samples": "3000"}
    idle = ("train.n_steps", "world")
    changes = {f: v for f, v in (TINY | one).items() if not f.startswith(idle)}
    sets = [x for f, v in changes.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["asymmetry", "--out", str(tmp_path / "r"), *sets]) == 0
    ds, text = synthsae.open_results("asymmetry", tmp_path / "r"), capsys.readouterr().out
    assert "ideal_rate_block" not in ds
    assert "times as much explained variance" in text
    assert "nan" not in text
    assert (tmp_path / "r" / "asymmetry" / "asymmetry.png").stat().st_size > 1000


def test_the_headline_has_the_ratios_and_their_prediction() -> None:
    """Costs of stable over unstable latents at equal rate: 4 at scale 1, and 1 at scale 2."""
    slope = np.log([4.0, 1.0])[:, None] + np.array([-0.1, 0, 0.1])
    curves = ("block_scale", "seed", "label", "masked")
    cost = np.ones((2, 3, 3, 3)) * np.array([1, 2, 0])[:, None] * np.array([0, 0.1, 0.2])
    ds = xr.Dataset(
        {
            "p_hat_slope": (("block_scale", "seed"), slope),
            "masked_cost": (curves, cost),
            "matched_cost": (curves, cost),
        },
        {"block_scale": [1.0, 2.0], "masked": [0, 1, 2], "label": ["stable", "middle", "unstable"]},
    )
    ratios, classes = cost_at_equal_rate(ds).axes
    (dots,) = ratios.containers
    np.testing.assert_allclose(dots[0].get_ydata(), [4, 1])
    line = next(x for x in ratios.lines if len(x.get_xdata()) == 100)
    np.testing.assert_allclose(line.get_ydata()[[0, -1]], [4, 1])
    drawn = [c[0].get_ydata().item() for c in classes.containers]
    np.testing.assert_allclose(drawn, [0.1, 0.1, 0, 0])
