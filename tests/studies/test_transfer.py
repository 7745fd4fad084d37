"""transfer: its numbers by hand, its prediction where it is exact, its nulls, the whole."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from synthsae.studies.transfer import scores as prediction
from synthsae.studies.transfer.figure import (
    FEW,
    home_of_unstable,
    reach,
    too_few,
    transfer_of_unstable,
    worlds,
)
from synthsae.studies.transfer.scores import label_prediction
from synthsae.studies.transfer.study import finding

import synthsae
from synthsae import scores
from synthsae.config import override
from synthsae.evaluation import Evaluation
from synthsae.geometry import haar, unit
from synthsae.metrics import rank, reappearance, transfer
from synthsae.plot.common import ORANGE
from synthsae.scores.run import Run
from synthsae.seeds.intervals import interval_of
from synthsae.study import cli
from synthsae.world import World

S, D, G, R, STABLE = 5, 56, 2, 16, 16

TINY = {
    "world.d_model": "24",
    "world.n_isolated": "16",
    "world.isolated_p": "0.05",
    "world.n_blocks": "1",
    "world.rank": "8",
    "world.noise": "0.01",
    "sae.k": "3",
    "train.n_steps": "200",
    "train.batch_size": "256",
    "n_seeds": "4",
    "eval_samples": "4000",
}


def planted_run(rotate: bool = True) -> Run:
    """Seeds with a rotated cross-polytope in each block, and isolated features that they share.

    Every seed has them in an order of its own; unstable latents fire less, by chance overlapping.
    """
    base = cli.load("transfer").base
    changes = {"world.d_model": D, "world.n_blocks": G, "world.rank": R, "n_seeds": S}
    config = override(base, changes | {"world.n_isolated": STABLE})
    world, rng = World.plant(config.world, seed=0), np.random.default_rng(0)
    directions, rates = np.zeros((S, STABLE + 2 * G * R, D)), np.zeros((S, STABLE + 2 * G * R))
    for s in range(S):
        frames = [haar(R, rng) if rotate else np.eye(R) for _ in range(G)]
        spread = 0.1 * rotate * rng.standard_normal((G, 2 * R, R))  # no two singular values equal
        codes = [
            unit(np.concatenate([q, -q]) + n) @ u.T
            for q, n, u in zip(frames, spread, world.bases, strict=True)
        ]
        order = rng.permutation(STABLE + 2 * G * R)
        directions[s, order] = np.concatenate([world.isolated, *codes])
        rates[s, order] = np.append(
            rng.uniform(0.02, 0.2, STABLE), rng.uniform(0.01, 0.1, 2 * G * R)
        )
    return Run(config, world, tuple(range(S)), {}, Evaluation(directions, rates, np.zeros(S)))


@pytest.fixture(scope="module")
def run() -> Run:
    return planted_run()


def sets(run: Run, s: int) -> tuple[np.ndarray, np.ndarray]:
    label = reappearance.labels(run.p_hat)[s]
    return run.directions[s, label == "unstable"], run.directions[s, label == "stable"]


def test_unstable_latents_fill_the_blocks_evenly(run: Run) -> None:
    """The curve, the nulls and the prediction, for rank 16 (m A_R = 2.8% of latents come back)."""
    ds = xr.merge([scores.unstable_transfer(run, draws=40), scores.predicted_transfer(run)])
    for s in range(S):
        own, stable = sets(run, s)
        assert len(stable) >= STABLE
        others = np.concatenate([sets(run, t)[0] for t in range(S) if t != s])
        axes = np.linalg.svd(own, full_matrices=False)[2]
        for r in (1, 7, 30):
            energy = np.mean(np.sum((others @ axes[:r].T) ** 2, axis=1))
            assert ds.transfer[s, r] == pytest.approx(energy)
    dims = np.arange(D + 1)
    assert np.array_equal(ds.transfer_predicted, np.minimum(1, dims / (G * R)))
    assert float(abs(ds.transfer - ds.transfer_predicted).max()) < 0.12  # not every latent is loose
    assert float(ds.transfer_stable.mean("seed").max()) < 0.1  # isolated features are outside
    assert np.array_equal(ds.transfer_chance, dims / D)
    inside = (ds.transfer_random_low <= ds.transfer_chance + 1e-9) & (
        ds.transfer_chance <= ds.transfer_random_high + 1e-9
    )
    assert inside.mean() > 0.9


def test_the_prediction_is_exact_for_whole_frames() -> None:
    """2R latents of a frame hold r / (G R) of any other frame's energy in any r of their axes."""
    rng = np.random.default_rng(0)
    one, other = (np.eye(D)[: G * R].T @ haar(G * R, rng) for _ in range(2))
    curve = transfer.transfer_curve(np.concatenate([one.T, -one.T]), other.T)
    assert np.allclose(curve, np.minimum(1, np.arange(D + 1) / (G * R)))


def test_dimension_by_hand(run: Run) -> None:
    ds = xr.merge([scores.class_dimension(run, draws=60), scores.class_energy_in_blocks(run)])
    for s in range(S):
        own, stable = sets(run, s)
        n = min(len(own), len(stable))
        assert ds.rank_rows[s] == n == len(stable)
        assert ds.stable_rank[s] * D == pytest.approx(rank.effective_rank(stable))
        expected = (rank.iid_effective_rank(n, k) / D for k in (D, G * R))
        assert ds.iid_rank[s] == pytest.approx(next(expected))
        assert ds.iid_rank_in_blocks[s] == pytest.approx(next(expected))
        inside = np.linalg.norm(stable @ np.concatenate(run.bases, axis=1), axis=1) ** 2
        assert ds.stable_in_blocks[s] == pytest.approx(inside.mean())
        rng = np.random.default_rng(2)
        draws = [rank.effective_rank(rng.permutation(own)[:n]) for _ in range(200)]
        error = np.std(draws) * (1 / 60 + 1 / 200) ** 0.5
        assert ds.unstable_rank[s] * D == pytest.approx(np.mean(draws), abs=5 * error)
    assert np.allclose(ds.unstable_in_blocks, 1)
    assert ds.in_blocks_chance == G * R / D


def test_labels_learned_from_directions_and_rates_by_hand(run: Run) -> None:
    ds = label_prediction(run)
    label = reappearance.labels(run.p_hat)
    known = np.isin(label, ("stable", "unstable"))
    for features, values in {
        "decoder": run.directions,
        "rate": np.log(run.evaluation.rates)[..., None],
    }.items():
        for s in (0, 3):
            rest = np.arange(S) != s
            train, y = values[rest][known[rest]], label[rest][known[rest]] == "unstable"
            mean, sd = train.mean(0), train.std(0)
            fit = LogisticRegression(class_weight="balanced").fit((train - mean) / sd, y)
            answer = fit.predict((values[s, known[s]] - mean) / sd)
            truth = label[s, known[s]] == "unstable"
            want = f1_score(truth, answer)
            assert ds.label_f1.sel(features=features)[s] == pytest.approx(want)
            assert ds.label_f1_constant[s] == pytest.approx(f1_score(truth, np.ones(len(truth))))
    for features in ("density", "shared subspace", "planted blocks", "decoder"):
        assert np.all(ds.label_f1.sel(features=features) > 0.95), features
    assert np.all(ds.label_f1.sel(features="rate") < 0.95)
    assert float(ds.label_f1_permuted.mean()) < 0.75


def test_the_shared_subspace_is_that_of_unstable_latents() -> None:
    """Stable ones fill all dimensions here, so their subspace would tell nothing."""
    rng = np.random.default_rng(0)
    unstable = np.concatenate([rng.standard_normal((90, 4)), np.zeros((90, 36))], axis=1)
    rows = [np.concatenate([unstable[i::3], rng.standard_normal((300, 40))]) for i in range(3)]
    label = np.arange(330) < 30
    assert prediction._f1([unit(r) for r in rows], [label, label], label, 0.9) > 0.95
    assert prediction._shared(unit(unstable), 0.9).shape == (40, 4)


def test_density_is_of_the_latents_own_seed() -> None:
    run = planted_run()
    rates = run.evaluation.rates.copy()
    rates[0, 7] = 0  # dead latents are no neighbours
    run = replace(run, evaluation=replace(run.evaluation, rates=rates))
    which = np.arange(run.live.shape[1]) % 3 == 0
    density = prediction._features(run, 0, which & run.live[0])["density"]
    for row, i in zip(density, np.flatnonzero(which & run.live[0]), strict=True):
        others = [j for j in np.flatnonzero(run.live[0]) if j != i]
        c = run.directions[0, others] @ run.directions[0, i]
        assert np.allclose(row, [c.max(), c.min(), (c**2).sum()])
    again = prediction._density(run.directions[0], which, block=4)
    assert np.allclose(again, prediction._density(run.directions[0], which))


def reordered(run: Run, seeds: list[int], latents: np.ndarray) -> Run:
    seen, pick = run.evaluation, np.ix_(seeds, latents)
    shown = Evaluation(seen.directions[pick], seen.rates[pick], np.zeros(S))
    return replace(run, seeds=tuple(seeds), evaluation=shown)


@pytest.mark.slow
def test_nothing_depends_on_the_order_of_seeds_and_latents(run: Run) -> None:
    """But for which rows are drawn at random where sets are matched."""
    seeds, latents = [2, 0, 4, 3, 1], np.arange(run.live.shape[1])
    mixed = np.random.default_rng(0).permutation(latents)
    drawn = {"transfer_stable", "transfer_random_low", "transfer_random_high", "unstable_rank"}
    drawn |= {"stable_rank", "label_f1_permuted", "transfer_other", "transfer_excess"}
    for measure in (
        partial(scores.unstable_transfer, draws=40),
        scores.class_dimension,
        scores.class_energy_in_blocks,
        label_prediction,
    ):
        a = measure(run)
        b = measure(reordered(run, seeds, latents)).sel(seed=list(range(S)))
        c = measure(reordered(run, seeds, mixed)).sel(seed=list(range(S)))
        for name in set(a):
            if name != "label_f1_permuted":  # which also draws the order of the training seeds
                near = 0.05 if name in drawn else 1e-9
                assert np.allclose(a[name], b[name], atol=near), name
                assert np.allclose(a[name], c[name], atol=near), name


def test_without_unstable_latents_there_is_nothing_to_say() -> None:
    run = planted_run(rotate=False)
    assert (reappearance.labels(run.p_hat) == "stable").all()
    assert np.isnan(scores.unstable_transfer(run).transfer).all()
    assert np.isnan(scores.class_dimension(run).unstable_rank).all()
    assert np.isnan(label_prediction(run).label_f1).all()


def test_only_the_planted_blocks_need_the_truth(run: Run) -> None:
    class Samples:
        d_model = D

        def batch(self, t: int, size: int, **keywords: object) -> torch.Tensor:
            raise AssertionError

    blind = replace(run, source=Samples())
    for score in (scores.unstable_transfer, scores.class_dimension):
        xr.testing.assert_identical(score(run), score(blind))
    f1 = label_prediction(blind).label_f1
    assert np.isnan(f1.sel(features="planted blocks")).all()
    assert not np.isnan(f1.drop_sel(features="planted blocks")).any()


def test_reach_is_where_nine_tenths_are() -> None:
    curve = xr.DataArray([[0, 0.5, 0.78, 0.8, 0.8], [0, 0.3, 0.6, 0.78, 0.8]], dims=("seed", "r"))
    assert reach(xr.Dataset({"transfer": curve})) == 3


def test_scores_of_a_few_latents_are_not_shown() -> None:
    """No curve, rank or F1 of a world with one unstable latent a seed, and no words on them."""
    few, many = (
        xr.merge([measure(run) for measure in cli.load("transfer").scores[:6]])
        for run in (planted_run(rotate=False), planted_run())
    )
    few["rank_rows"], few["l0"], many["l0"] = few.rank_rows + FEW - 1, few.rank_rows, many.rank_rows
    ds = xr.concat([few, many], xr.Variable("n_blocks", [0, 2]), join="outer")
    axes = transfer_of_unstable(ds).axes
    for empty, full in (axes[0:2], axes[2:4], axes[4:6]):
        assert len(empty.lines) < len(full.lines)
    assert not axes[4].patches
    headline = home_of_unstable(ds)
    (curve,) = [line for line in headline.axes[0].lines if line.get_color() == ORANGE]
    np.testing.assert_allclose(curve.get_ydata(), many.transfer.mean("seed"))
    assert f"{reach(many)} of" in headline.get_suptitle()
    assert not home_of_unstable(ds.isel(n_blocks=[0])).get_suptitle()
    halved = many.assign(transfer=many.transfer / 2)
    two = xr.concat([many, halved], xr.Variable("n_blocks", [2, 4]))
    (curve,) = [x for x in home_of_unstable(two).axes[0].lines if x.get_color() == ORANGE]
    np.testing.assert_allclose(curve.get_ydata(), halved.transfer.mean("seed"))
    found = finding(ds)
    assert found.table is not None
    assert found.table.transfer.isna().tolist() == [True, False]
    assert found.values["start"] == "With n_blocks = 2, the"
    assert "too few" in finding(ds.isel(n_blocks=[0])).sentence
    assert not too_few(many)


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tiny = TINY | {"world.n_blocks": "0,1"}
    sets = [x for f, v in tiny.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["transfer", "--out", str(tmp_path), *sets]) == 0
    ds, text = synthsae.open_results("transfer", tmp_path), capsys.readouterr().out
    (_, _), (name, part) = worlds(ds)
    assert name == "n_blocks = 1"
    inside = interval_of(part.unstable_in_blocks)
    assert "dimensions of one seed's unstable latents hold" in text
    assert float(inside.estimate) > float(part.in_blocks_chance) + 0.2
    at = part.sel(r=reach(part))
    assert finding(ds).values["transfer"] == pytest.approx(float(at.transfer.mean()))
    assert float((part.transfer - part.transfer_chance).mean("seed").sel(r=8)) > 0.1
    assert (tmp_path / "transfer" / "transfer.png").stat().st_size > 1000


def test_an_array_in_place_of_the_world(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    world = World.plant(override(cli.load("transfer").base, TINY).world, seed=0)
    np.save(tmp_path / "x.npy", world.batch(0, 30_000, seed=0).numpy())
    one = {"source.arrays": str(tmp_path / "x.npy"), "source.passes": "1", "eval_samples": "3000"}
    idle = ("train.n_steps", "world")
    changes = {f: v for f, v in (TINY | one).items() if not f.startswith(idle)}
    sets = [x for f, v in changes.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["transfer", "--out", str(tmp_path / "r"), *sets]) == 0
    ds, text = synthsae.open_results("transfer", tmp_path / "r"), capsys.readouterr().out
    assert "unstable_in_blocks" not in ds
    assert "unstable latents" in text
    assert "nan" not in text
    assert (tmp_path / "r" / "transfer" / "transfer.png").stat().st_size > 1000
