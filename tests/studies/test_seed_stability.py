"""The seed report on a tiny model and on a world: from the command line to figure and finding."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from synthsae.studies.asymmetry.figure import cost_by_stability, spliced
from synthsae.studies.seed_stability.figure import stability_and_rank
from synthsae.studies.seed_stability.finding import of_sizes

import synthsae
from synthsae import config
from synthsae.plot import report
from synthsae.plot.words import FEW, excess
from synthsae.stats import pairwise_interval, row_interval
from synthsae.study import cli
from synthsae.study.assemble import _blank

TINY = {
    "source.context": "16",
    "source.held_out": "0.25",
    "source.passes": "4",
    "source.device": "cpu",
    "train.batch_size": "64",
    "train.lr": "0.01",
    "train.device": "cpu",
    "eval_samples": "500",
}


@pytest.fixture
def options(
    language_model: Callable[[str], Path], stories: Path, tmp_path: Path
) -> Callable[..., list[str]]:
    def made(name: str, model: str, *more: str) -> list[str]:
        sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
        files = ["--text", str(stories), "--set", f"source.cache={tmp_path / 'cache'}"]
        names = ",".join(str(language_model(m)) if m else "" for m in model.split(","))
        seeds = [] if "--seeds" in more else ["--seeds", "3"]
        k = [] if any(text.startswith("sae.k=") for text in more) else ["--k", "4"]
        budget = ["--tokens", "2400", *seeds, *k, "--out", str(tmp_path)]
        return [name, "--model", names, *files, *sets, *budget, *more]

    return made


@pytest.mark.slow
def test_on_a_model(
    options: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = options("seed_stability", "llama", "--layer", "0,2", "--n-latents", "16,32")
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "With depth, stability" in said
    assert "loss recovered" in said
    ds = synthsae.open_results("seed_stability", tmp_path)
    assert dict(ds.sizes) | {"layer": 2, "n_latents": 2, "seed": 3, "pair": 8} == dict(ds.sizes)
    assert (ds.training_samples == 4 * 1800 // 64 * 64).all()
    assert (ds.initial_reappearance < 0.5).all()
    text = ds.pair_context.sel(pair="best 1", layer=0, n_latents=32).values
    assert all("[" in line for line in text[:, 0])
    assert (tmp_path / "seed_stability" / "seed_stability.png").stat().st_size > 10_000
    assert cli.main(command) == 0
    assert "4 cells, 0 to train" in capsys.readouterr().out


@pytest.mark.slow
def test_on_a_world(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tiny = ("n_seeds=2", "train.n_steps=20", "sae.n_latents=16,32", "eval_samples=300")
    sets = [text for change in tiny for text in ("--set", change)]
    assert cli.main(["seed_stability", "--quick", "--out", str(tmp_path), *sets]) == 0
    said = capsys.readouterr().out
    assert "stability cannot be judged from two seeds" in said
    assert "On a planted world" in said
    assert "layer" not in said.split("\nOn a planted")[1]
    assert "masked_loss" not in synthsae.open_results("seed_stability", tmp_path)


@pytest.mark.slow
def test_a_world_beside_a_model(
    options: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    small = ("d_model=20", "n_isolated=4", "rank=4", "n_blocks=3")
    sets = [text for change in small for text in ("--set", f"world.{change}")]
    command = options("synthetic_vs_real", ",gpt2", "--n-latents", "24", "--quick", *sets)
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "A live latent of planted world is found" in said
    assert "one of gpt20 with" in said
    ds = synthsae.open_results("synthetic_vs_real", tmp_path)
    assert (ds.transfer_chance.count("r") - 1).values.tolist() == [20, 16]


def shares(rows: int) -> xr.Dataset:
    """Made-up transfer over r / D of four seeds, and effective ranks at so many rows."""
    r, seeds = np.linspace(0, 1, 9), np.array([-0.03, 0.0, 0.01, 0.02])[:, None]
    live, dims = np.tile(r**0.5, (4, 1)), ("seed", "r")
    more = (0.2 + seeds) * r
    ds = {"transfer_other": (dims, live), "transfer": (dims, live + more)}
    ds |= {"transfer_excess": (dims, more)}
    ds |= {f"transfer_random_{end}": (dims, live) for end in ("low", "high")}
    ds |= {"transfer_stable": (dims, live), "transfer_chance": (("r",), r)}
    ds |= {f"{kind}_rank": (("seed",), 0.5 + seeds[:, 0]) for kind in ("stable", "unstable", "iid")}
    return xr.Dataset(ds | {"rank_rows": (("seed",), np.full(4, rows))})


def test_excess_is_over_other_latents_in_a_quarter_of_the_dimensions() -> None:
    ds = shares(FEW)
    assert np.allclose(excess(ds), (0.2 + np.array([-0.03, 0.0, 0.01, 0.02])) / 4)
    axes = Figure().subplots(1, 2)
    report.transfer(axes[0], ds)
    want = row_interval(excess(ds).values)
    assert "{:.2f} [{:.2f}, {:.2f}]".format(*want) in axes[0].get_title()
    (same,) = (x for x in axes[0].lines if x.get_label() == "as many unstable latents")
    np.testing.assert_allclose(same.get_ydata(), ds.transfer.mean("seed"))
    (band,) = axes[0].collections[1:]
    wide = row_interval(ds.transfer.transpose("r", "seed").values)
    assert band.get_datalim(axes[0].transData).y1 == pytest.approx(wide.high.max())
    report.effective_rank(axes[1], ds)
    assert axes[1].axison


def test_too_few_rows_have_no_effective_rank() -> None:
    ax = Figure().subplots()
    report.effective_rank(ax, shares(FEW - 1))
    assert not ax.axison
    assert not ax.lines


def test_the_headline_has_p_hat_and_ranks_of_one_latent() -> None:
    rng, seeds = np.random.default_rng(0), range(4)
    found = np.where(np.eye(4, dtype=bool), np.nan, rng.uniform(size=(2, 4, 4)))
    rank = rng.uniform(1, 40, (2, 4, 3))
    ds = xr.Dataset(
        {
            "found_share": (("n_latents", "seed_a", "seed_b"), found),
            "class_latent_rank": (("n_latents", "seed", "label"), rank),
        },
        {"n_latents": [64, 128], "label": ["stable", "middle", "unstable"], "r": range(65)}
        | dict.fromkeys(("seed", "seed_a", "seed_b"), seeds),
    )
    figure = stability_and_rank(ds)
    left, right = (ax.containers[0][0].get_ydata() for ax in figure.axes)
    np.testing.assert_allclose(left, np.nanmean(found, axis=(1, 2)))
    np.testing.assert_allclose(right, rank[1].mean(axis=0))
    assert f"turn in {rank[1, :, 2].mean():.0f} of 64" in figure.get_suptitle()


def test_verdicts() -> None:
    """The words follow the interval of the paired difference."""
    rng = np.random.default_rng(0)
    base = 0.5 + 0.02 * rng.standard_normal((6, 6))

    def dataset(step: float) -> xr.Dataset:
        dims, matrix = ("seed_a", "seed_b"), {}
        for name in ("found_share", "matched_median", "matched_share"):
            matrix[name] = (("n_latents", *dims), [base, base + step])
        for name in ("matched_median_chance", "training_samples"):
            matrix[name] = (("n_latents",), [0.2, 0.2])
        for name in ("initial_reappearance", "explained_variance"):
            matrix[name] = (("n_latents", "seed"), np.zeros((2, 6)))
        shared = np.stack([np.linspace(0, 0.4, 6), np.linspace(0, 0.2, 6)])[:, :, None] * [0, 1, 2]
        matrix["transfer"] = (("n_latents", "seed", "r"), shared)
        matrix["transfer_excess"] = (("n_latents", "seed", "r"), shared)
        matrix["transfer_chance"] = (("r",), [0, 0.3, 1])
        return xr.Dataset(matrix, {"n_latents": [64, 128]})

    found = {step: of_sizes(dataset(step)) for step in (-0.1, 0, 0.1)}
    assert [f.values["size"] for f in found.values()] == [
        "falls",
        "does not clearly change",
        "rises",
    ]
    table, score = found[0.1].table, pairwise_interval(base)
    assert table is not None
    ends = table.iloc[0][["p_hat", "low", "high"]].tolist()
    assert ends == pytest.approx([float(v) for v in score])
    assert table["transfer beyond its null"].tolist() == pytest.approx([0.2, 0.1])


def test_cells_that_are_missing_have_no_text() -> None:
    cell = xr.Dataset({"a": ("x", [1.0, 2]), "n": ((), 3), "t": ("x", ["one", "two"])})
    blank = cell.map(_blank)
    assert blank.a.isnull().all()
    assert np.isnan(blank.n)
    assert blank.t.values.tolist() == ["", ""]


def test_an_empty_text_is_text() -> None:
    base = cli.load("seed_stability").base
    assert config.override(base, {"source.model": ""}) == base


@pytest.mark.slow
def test_asymmetry_on_a_model(
    options: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The figure has a row more, and the words are those of the numbers."""
    settings = ("--n-latents", "16,32")
    assert cli.main(options("asymmetry", "gpt2", "--layer", "1", *settings)) == 0
    assert "times as much explained variance" in capsys.readouterr().out
    both = synthsae.open_results("asymmetry", tmp_path).squeeze()
    assert both.latent_rate.sel(n_latents=16).isnull()[:, 16:].all()
    assert "latent" not in both.coords
    ds = both.sel(n_latents=32)
    rise = ds.masked_loss.sel(masked_class="stable")
    last = int(np.flatnonzero((rise + ds.matched_loss[:, 0]).notnull().all("seed"))[-1])
    said = spliced(ds)
    assert said["nats, stable zeroed"] == pytest.approx(float(rise[:, last].mean()))
    assert said["share zeroed of stable"] == pytest.approx(float(ds.zeroed[last]))
    assert "ideal_rate_block" not in ds
    assert ds.surface_form.dims == ("seed", "label")
    assert len(cost_by_stability(both).axes) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "measured", "left_out"),
    [
        ("transfer", "transfer", "world.n_blocks"),
        ("pooling", "pool_reappearance", "world.rank, world_seed"),
        ("consensus", "identities_listed", "world.rank, world.block_p, world_seed"),
        ("hierarchical_budget", "budget_live_reappearance", ""),
    ],
)
def test_studies_on_worlds_take_a_model(
    study: str,
    measured: str,
    left_out: str,
    options: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    """Without the axes of the world, which is said: one training for each config."""
    command = options(study, "llama", "--layer", "1", "--n-latents", "32", "--seeds", "4")
    assert cli.main(["--quick", *command]) == 0
    said = capsys.readouterr().out
    assert f"{1 if left_out else 2} cells, {1 if left_out else 2} to train" in said
    assert not left_out or f"on a model: no axes {left_out}\n" in said
    assert (tmp_path / study / f"{study}.png").stat().st_size > 10_000
    ds = synthsae.open_results(study, tmp_path)
    assert ds[measured].notnull().any()
    assert not ds.sizes.get("block"), "a block of a model is not known"
    assert not {"rank", "n_blocks", "world_seed"} & {*ds.dims}
