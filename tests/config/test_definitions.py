"""What words mean is a field: varied without training, written down, the same number everywhere."""

import inspect
import io
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.transforms import Bbox
from synthsae.studies.asymmetry.scores import latent_function
from synthsae.studies.budget_sweep.scores import not_stable_subspace
from synthsae.studies.pooling.scores import pools
from synthsae.studies.pooling.unions import unions, unions_of_features
from synthsae.studies.rank_sweep.scores import implied_rank
from synthsae.studies.transfer.scores import label_prediction

from synthsae import scores, theory
from synthsae.checks import ConfigError
from synthsae.config import Config, describe, override
from synthsae.definitions import DEFAULTS, Definitions, part, percent, shown
from synthsae.metrics import function, latent, planted, reappearance, recovery, shared, subspace
from synthsae.metrics.pooling import distinct
from synthsae.plot.common import caveat, defined, in_text, with_line_below
from synthsae.sae import SAEConfig
from synthsae.scores.run import Dictionaries, Run, run_cell
from synthsae.seeds import pooling
from synthsae.study import cli, load, plan
from synthsae.study.store import open_results
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

TINY = ["rank_sweep", "--quick"]
for assignment in (
    *("world.law=isotropic", "world.rank=1,4", "n_seeds=3", "train.n_steps=20"),
    *("train.batch_size=64", "eval_samples=512", "train.device=cpu"),
):
    TINY += ["--set", assignment]
TWO = ("--set", "definitions.theta=0.5,0.7")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "r"
    assert cli.main([*TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("varied") / "r"
    assert cli.main([*TINY, *TWO, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def run() -> Run:
    return run_cell(
        Config(
            WorldConfig(d_model=16, n_isolated=8, n_blocks=2, rank=4),
            SAEConfig(n_latents=24, k=3),
            TrainConfig(n_steps=60, batch_size=64, lr=0.02, device="cpu"),
            n_seeds=3,
            eval_samples=512,
        )
    )


def with_(run: Run, **changes: float) -> Run:
    """`run` with other definitions, as the second cell of a training has it."""
    return replace(run, config=replace(run.config, definitions=Definitions(**changes)))


def trainings(out: Path) -> list[Path]:
    return sorted((out / "trainings").glob("*.safetensors"))


@pytest.mark.parametrize("f", fields(Definitions), ids=lambda f: f.name)
def test_every_field_has_a_help_and_a_range(f):
    assert f.metadata["help"]
    for value in (-0.1, 1.1, float("nan"), "x"):
        with pytest.raises(ConfigError) as caught:
            Definitions(**{f.name: value})
        assert caught.value.field == f"definitions.{f.name}"


def test_unstable_is_below_stable():
    with pytest.raises(ConfigError) as caught:
        Definitions(stable=0.5, unstable=0.5)
    assert caught.value.field == "definitions.unstable"


@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (reappearance.found, "theta", "theta"),
        (reappearance.reappearance, "theta", "theta"),
        (reappearance.labels, "stable", "stable"),
        (reappearance.labels, "unstable", "unstable"),
        (function.live, "live_threshold", "live"),
        (subspace.members, "threshold", "member"),
        (recovery.block_recovery, "threshold", "member"),
        (planted.feature_reappearance, "theta", "theta"),
        (shared.shared_pair, "theta", "theta"),
        (latent.summarise, "threshold", "same"),
        (distinct, "threshold", "duplicate"),
        (pooling.pool, "live", "live"),
        (theory.chance_found, "theta", "theta"),
        (theory.coverage_monte_carlo, "theta", "theta"),
        (theory.coverage_a_priori, "theta", "theta"),
        (theory.coverage_closed, "theta", "theta"),
        (theory.implied_rank, "theta", "theta"),
        (theory.identifiability_report, "theta", "theta"),
    ],
)
def test_the_defaults_of_functions_are_those(function, argument, name):
    assert inspect.signature(function).parameters[argument].default is getattr(DEFAULTS, name)


def test_the_defaults_are_the_published_ones():
    assert Definitions(0.7, 1e-4, 0.5, 0.95, 0.05, 0.9, 0.9, 0.9) == DEFAULTS


def test_thresholds_in_texts():
    assert [shown(v) for v in (0.7, 0.95, 1e-4, 2.5e-4, 0.01, 1.0, 0.0)] == [
        *(".7", ".95", "1e-4", "2.5e-4", ".01", "1", "0")
    ]
    assert (part(0.5), part(0.6), percent(0.925)) == ("half", "60%", "92.5%")


def test_a_training_does_not_depend_on_them_and_a_score_does():
    one = load("rank_sweep").base
    two = override(one, {"definitions.stable": 0.9})
    grid = plan(load("rank_sweep"), {"definitions.stable": [0.9, 0.95]}, quick=True)
    a, b = grid.cells[:2]
    assert one.trained_by == two.trained_by
    assert one.to_json() != two.to_json()
    assert a.training == b.training
    assert a.digest != b.digest
    assert not set(a.keys().values()) & set(b.keys().values())


@pytest.mark.slow
def test_an_axis_of_theta_trains_nothing_more(plain, varied, capsys):
    assert [p.name for p in trainings(plain)] == [p.name for p in trainings(varied)]
    ds = open_results("rank_sweep", varied)
    assert ds.sizes["theta"] == 2
    assert (ds.training.isel(theta=0) == ds.training.isel(theta=1)).all()
    cli.main([*TINY, *TWO, "--out", str(plain)])
    assert "4 cells of 2 trainings, 0 to train, 2 to score" in capsys.readouterr().out


def test_at_the_default_the_numbers_are_the_same_bits(plain, varied):
    """And at another theta those that depend on it are others."""
    assert cli.main([*TINY, "--out", str(plain)]) == 0
    alone, both = (open_results("rank_sweep", out) for out in (plain, varied))
    at = both.sel(theta=0.7, drop=True)
    for name in alone.data_vars:
        assert alone[name].variable.equals(at[name].variable), name
        assert "theta" in both[name].dims
    other = both.sel(theta=0.5)
    for name in ("block_reappearance", "coverage_prediction", "coverage_a_priori"):
        assert (other[name] > at[name]).any(), name
    for name in ("explained_variance", "subspace_overlap", "pairwise_mcc"):
        assert other[name].variable.equals(at[name].variable), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "workers"), [(True, ()), (False, ()), (False, ("--workers", "2"))]
)
def test_cells_of_one_training_train_once(kept, workers, varied, tmp_path, capsys):
    more = [*workers, *["--no-keep-saes"] * (not kept)]
    out = tmp_path / "r"
    assert cli.main([*TINY, *TWO, *more, "--out", str(out)]) == 0
    assert "4 cells of 2 trainings, 2 to train" in capsys.readouterr().out
    assert len(trainings(out)) == 2 * kept
    a, b = (open_results("rank_sweep", folder) for folder in (out, varied))
    assert a.equals(b)


def test_a_job_makes_a_training_once(monkeypatch, tmp_path):
    """In memory, where SAEs are not kept; a training that fails is not tried for each cell."""
    made = []

    def once(config, *rest):
        made.append(config)
        raise FloatingPointError

    monkeypatch.setattr("synthsae.study.cell.run_cell", once)
    assert cli.main([*TINY, *TWO, "--no-keep-saes", "--out", str(tmp_path / "r")]) == 1
    assert [c.world.rank for c in made] == [1, 4]


def test_what_the_dataset_says_of_itself(plain, varied):
    one, two = (open_results("rank_sweep", out).attrs for out in (plain, varied))
    assert json.loads(two["definitions"])["theta"] == [0.5, 0.7]
    assert Definitions(**json.loads(one["definitions"])) == DEFAULTS
    assert json.loads(one["samples_trained"]) == 20 * 64
    assert json.loads(one["samples_evaluated"]) == 512
    assert one["quick"] == "true"


def test_samples_that_vary(tmp_path):
    grid = plan(load("rank_sweep"), {"train.n_steps": [10, 20], "train.batch_size": 8})
    from synthsae.study.about import about

    assert about(grid)["samples_trained"] == "[80, 160]"
    assert about(grid)["quick"] == "false"


@pytest.mark.parametrize("name", ["plain", "varied"])
def test_every_coordinate_is_described(name, request):
    ds = open_results("rank_sweep", request.getfixturevalue(name))
    helps = {n: text for n, _, text in describe(Config())}
    for coordinate in ds.coords.values():
        assert coordinate.attrs["long_name"]
        assert coordinate.dtype.kind not in "if" or coordinate.attrs["units"] == "1"
    assert ds["rank"].attrs["long_name"] == f"world.rank: {helps['world.rank']}"


def test_live(run):
    few = with_(run, live=0.05)
    np.testing.assert_array_equal(few.live, run.evaluation.rates >= 0.05)
    assert few.live.sum() < run.live.sum()
    ds = scores.reconstruction(few)
    np.testing.assert_allclose(ds.dead_fraction, 1 - few.live.mean(axis=1))
    assert ds.dead_fraction.attrs["long_name"].endswith("fewer than .05 of the samples")


def test_stable_and_unstable(run):
    """Of three seeds p_hat is 0, 1/2 or 1."""
    loose = with_(run, stable=0.5, unstable=0.4)
    assert set(np.unique(loose.labels)) <= {"stable", "unstable", "dead"}
    ds = scores.live_stability(loose)
    assert ds.stable_share.attrs["long_name"] == "share of live latents with p_hat >= .5"
    want = (run.p_hat >= 0.5).sum(axis=1) / run.live.sum(axis=1)
    np.testing.assert_allclose(ds.stable_share, want)


def test_member(run):
    wide = with_(run, member=0.1)
    more = scores.block_stability(wide).latents_per_block
    assert (more >= scores.block_stability(run).latents_per_block).all()
    assert "at least 10% of their energy" in more.attrs["long_name"]
    for basis, block in zip(run.bases, wide.blocks, strict=True):
        want = subspace.members(run.directions, basis, run.live, 0.1)
        np.testing.assert_array_equal(block.members, want)


def test_theta_is_the_same_in_the_measure_and_in_its_predictions(run):
    other, m = with_(run, theta=0.5), run.config.world.rank
    ds = scores.block_stability(other).merge(scores.coverage_law(other))
    want = theory.chance_found(16, other.live.sum(axis=1), 0.5)
    want = (want.sum() - want) / 2
    np.testing.assert_allclose(ds.block_reappearance_chance, want)
    left = (24 - 8) / 2
    assert ds.coverage_a_priori == theory.coverage_a_priori(m, left, 0.5)
    assert "cosine >= 0.5" in ds.block_reappearance.attrs["long_name"]
    p, latents = ds.block_reappearance.values, ds.latents_per_block.values
    if np.isfinite(p).any():
        rank = implied_rank(other).implied_rank
        mean = np.mean([row[np.isfinite(row)].mean() for row in p if np.isfinite(row).any()])
        assert rank == pytest.approx(theory.implied_rank(mean, latents.mean(), 0.5).rank)


def test_same(run):
    ds = scores.matched_agreement(with_(run, same=0.6))
    assert "share >= 0.6" in ds.matched_share.attrs["long_name"]
    more = ds.matched_share >= scores.matched_agreement(run).matched_share
    assert more.where(ds.matched_share.notnull(), True).all()


@pytest.mark.parametrize(
    ("measure", "changes"),
    [
        (not_stable_subspace, {"energy": 0.3}),
        (label_prediction, {"energy": 0.3}),
        (not_stable_subspace, {"stable": 0.4}),
        (scores.firing_rates, {"unstable": 0.6}),
        (scores.latent_kinds, {"theta": 0.3}),
        (scores.latent_kinds, {"member": 0.1}),
        (scores.shared_latents, {"theta": 0.3}),
        (scores.initial_agreement, {"theta": 0.3}),
        (unions, {"theta": 0.3}),
        (unions_of_features, {"same": 0.3}),
        (scores.feature_recovery, {"theta": 0.3}),
        (latent_function, {"live": 0.1}),
    ],
)
def test_they_reach_the_scores(measure, changes, run):
    assert not measure(with_(run, **changes)).equals(measure(run))


def test_duplicates_are_dropped_from_pools(run):
    train = replace(run.config.train, n_steps=2)
    four = run_cell(replace(run.config, train=train, n_seeds=4))
    few, many = (pools(with_(four, duplicate=x)).pool_latents for x in (0.3, 0.9))
    assert (few.sel(recipe="kept", pool_size=2) < many.sel(recipe="kept", pool_size=2)).all()


def test_dictionaries_have_their_own(run):
    names, live = ("a", "b", "c"), run.live
    far = Dictionaries(names, run.directions, live, definitions=Definitions(theta=0.3))
    near = Dictionaries(names, run.directions, live)
    assert np.nanmean(far.p_hat) > np.nanmean(near.p_hat)
    text = scores.reappearance_counts(far).found_share.attrs["long_name"]
    assert text.endswith("(signed cosine >= .3)")


def test_no_measure_takes_a_default_of_a_metric():
    """A name of a threshold in a measure would be a second source."""
    for folder in ("synthsae/measures", "realdata/measures"):
        for path in (Path(__file__).parents[2] / folder).glob("*.py"):
            text = path.read_text()
            for name in ("THETA", "LIVE", "MEMBER", "DUPLICATE", "DEFAULTS", "ance.labels("):
                assert name not in text, f"{path}: {name}"


def test_a_figure_reads_the_definitions():
    ds = xr.Dataset(attrs={"definitions": json.dumps({"theta": 0.6, "stable": [0.9, 1.0]})})
    assert (defined(ds, "theta"), in_text(ds, "theta")) == (0.6, ".6")
    assert in_text(ds, "stable") == ".9 or 1"
    assert defined(ds.assign_coords(stable=1.0), "stable") == 1.0
    assert defined(xr.Dataset(), "same") == DEFAULTS.same


def test_what_a_figure_warns_of():
    assert caveat(xr.Dataset(attrs={"quick": "false", "stale": "[]"})) == ""
    ds = xr.Dataset(attrs={"quick": "true", "stale": json.dumps(["a:b", "a:c", "a:d"])})
    said = (
        "quick run: undertrained, for a smoke test; "
        "trained by earlier code: a:b, a:c and 1 more changed"
    )
    assert caveat(ds) == f"{said} since"


def test_a_figure_warns_of_few_seeds_and_of_outliers():
    """Intervals over seeds cover too little with few of them, and where one has failed."""
    ev = [[0.80, 0.81, 0.79, 0.8], [0.80, 0.81, 0.79, 0.3]]
    ds = xr.Dataset({"explained_variance": (("k", "seed"), ev)}, {"k": [4, 8], "seed": range(4)})
    few, far = caveat(ds).split("; ")
    assert "over 4 SAEs" in few
    assert far.endswith(": k 8, seed 3")
    six = ds.isel(k=[0]).reindex(seed=range(6))  # unknown is not far
    assert caveat(six) == ""
    assert "SAEs may" not in caveat(ds.expand_dims(world_seed=[0, 1]))  # intervals over worlds


@pytest.mark.parametrize("layout", ["constrained", None])
def test_the_warning_is_below_the_figure(layout):
    """The figure is the same pixels, with a legend at its edge too; the line is in the strip."""

    def drawn() -> Figure:
        figure = Figure(figsize=(3, 2), layout=layout)
        figure.subplots().plot([1], label="a line")
        figure.supxlabel("x")
        figure.legend(loc="outside lower center" if layout else "lower center")
        return figure

    figure, before = drawn(), pixels(drawn())
    frame = with_line_below(figure, "word " * 30)
    after = pixels(figure, frame)
    assert after.shape[1] == before.shape[1]
    assert (after[: len(before)] == before).mean() > 0.99
    strip = after[len(before) :].min(axis=2)
    assert len(strip) >= 40
    assert (strip < 0.9).any()
    edge = np.concatenate([strip[-1], strip[:, 0], strip[:, -1]])
    assert (edge == 1).all()


def pixels(figure: Figure, frame: Bbox | None = None) -> np.ndarray:
    data = io.BytesIO()
    figure.savefig(data, format="png", bbox_inches=frame)
    data.seek(0)
    return imread(data)[..., :3]


def test_a_quick_run_says_so_on_its_figure(plain, monkeypatch):
    said = []
    monkeypatch.setattr(
        "synthsae.plot.common.with_line_below", lambda figure, text: said.append(text)
    )
    assert cli.main(["rank_sweep", "--figures-only", "--out", str(plain)]) == 0
    assert said[0].startswith("quick run: undertrained, for a smoke test")
