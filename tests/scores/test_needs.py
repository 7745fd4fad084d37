"""What scores need is declared, and checked when a study is planned."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_score import EVERY
from schema import TINY
from synthsae.studies.rank_sweep.scores import implied_rank

import synthsae
from realdata import scores as text
from synthsae import scores
from synthsae.checks import ConfigError
from synthsae.config import Config, override
from synthsae.scores.needs import THINGS, lacking, needs_of, requires
from synthsae.scores.run import Run, run_cell
from synthsae.study import Study, cli, load, plan


@cache
def trained(law: str) -> Run:
    return run_cell(override(Config(), TINY | {"world.law": law}))


class Samples:
    d_model = 12

    def batch(self, t: int, size: int, *, seed: int, stream: str = "data", device: Any = "cpu"):
        return torch.randn(size, 12, generator=torch.Generator().manual_seed(t + seed))


OF_THE_TRUTH = {
    "planted",
    "blocks",
    "atoms",
    "axes",
    "isolated features",
    "features",
    "independent gates",
}


@pytest.mark.parametrize("score", EVERY.values(), ids=lambda m: m.__name__)
def test_a_score_declares_what_it_cannot_do_without(score: Callable) -> None:
    """Without the SAEs, or without a planted world, a score works or has declared that need."""
    laws = {"atoms": "sparse", "axes": "generalised_normal"}
    run = trained(next((laws[n] for n in needs_of(score) if n in laws), "isotropic"))
    assert not lacking(score, run.config)
    for thing, without in (
        ("stack", replace(run, stack=None)),
        ("planted", replace(run, source=Samples())),
    ):
        said = {thing} if thing == "stack" else OF_THE_TRUTH
        if said & {*needs_of(score)} or (thing == "stack" and "encoders" in needs_of(score)):
            continue
        assert score(without) is not None


def test_things() -> None:
    planted = override(Config(), TINY)
    for change, gone in (
        ({}, {"atoms", "axes"}),
        ({"world.n_blocks": 0}, {"blocks", "atoms", "axes"}),
        ({"world.n_blocks": 0, "world.law": "sparse"}, {"blocks", "atoms", "axes"}),
        ({"world.n_isolated": 0}, {"isolated features", "features", "atoms", "axes"}),
        ({"world.n_isolated": 0, "world.law": "sparse"}, {"isolated features", "axes"}),
        ({"world.law": "generalised_normal"}, {"atoms"}),
        ({"world.n_circles": 1}, {"no circles", "atoms", "axes"}),
        (
            {"world.n_isolated": 8, "world.n_trees": 1, "world.tree_depth": 1},
            {"independent gates", "atoms", "axes"},
        ),
        ({"world.block_angle": 60}, {"separate blocks", "atoms", "axes"}),
        (
            {"world.blocks_per_gate": 2},
            {"separate blocks", "independent gates", "atoms", "axes"},
        ),
        ({"sae.arch": "kron"}, {"encoders", "atoms", "axes"}),
    ):
        config = override(planted, change)
        met = {thing for thing, has in THINGS.items() if has(config)}
        assert {*THINGS} - met == gone | {"tokens"}, change


@pytest.mark.parametrize("arch", ["topk", "relu", "gated", "kron", "matryoshka"])
def test_encoders_are_known_before_training(arch: str) -> None:
    run = run_cell(override(Config(), TINY | {"sae.arch": arch}))
    assert bool(lacking(scores.shared_latents, run.config)) == (run.encoders is None)


def test_what_is_no_thing() -> None:
    with pytest.raises(ConfigError, match="did you mean blocks"):
        requires("block")


def study(*chosen: Callable, **axes: Any) -> Study:
    base = override(Config(), TINY)
    drawn: Any = None
    return Study("?", base, axes, chosen, drawn, drawn)


def test_a_score_is_left_out_with_a_note() -> None:
    made = study(scores.coverage_law, scores.reconstruction, text.spliced_loss)
    (cell,) = (grid := plan(made, {"world.n_blocks": 0})).cells
    assert [name.rpartition(".")[2] for name, _ in cell.codes] == ["reconstruction"]
    assert grid.notes == (
        "left out: coverage_law, needs blocks",
        "left out: spliced_loss, needs tokens",
    )
    assert plan(made, {}).notes == grid.notes[1:]


def test_nothing_left_is_refused() -> None:
    for chosen in ((scores.coverage_law,), (scores.coverage_law, implied_rank)):
        with pytest.raises(ConfigError) as error:
            plan(study(*chosen), {"world.n_blocks": ["0", "2"]})
        assert error.value.field == "scores"
        assert "coverage_law" in error.value.value
        assert "blocks" in error.value.allowed


@pytest.mark.slow
def test_left_out_of_the_cells_that_lack_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """NaN there, and drawn all the same."""
    sets = [f"{f}={v}" for f, v in (TINY | {"world.n_blocks": "0,2", "sae.k": "2,4"}).items()]
    options = [text for pair in (*sets, "sae.arch=topk") for text in ("--set", pair)]
    for order in ("0,2", "2,0"):
        out = tmp_path / order
        options[options.index(next(o for o in options if "n_blocks" in o))] = (
            f"world.n_blocks={order}"
        )
        assert cli.main(["k_sweep", *options, "--out", str(out)]) == 0
        said = capsys.readouterr().out
        names = "block_stability, coverage_law, subspace_recovery"
        assert f"left out of 2 cells: {names}, need blocks" in said
        ds = synthsae.open_results("k_sweep", out)
        seen = ds.coverage_prediction.notnull().any(("seed", "block"))
        assert not seen.sel(n_blocks=0).any()
        assert ds.isolated_reappearance.notnull().all()
        assert ds.latents_per_block.sel(n_blocks=2).notnull().all()
        assert cli.main(["k_sweep", *options, "--out", str(out)]) == 0
        assert "4 cells, 0 to train:" in capsys.readouterr().out


def test_without_blocks_a_study_about_features_is_drawn(tmp_path: Path) -> None:
    sets = [f"{f}={v}" for f, v in (TINY | {"world.n_blocks": "0", "sae.arch": "topk"}).items()]
    options = [text for pair in sets for text in ("--set", pair)]
    assert cli.main(["k_sweep", *options, "--out", str(tmp_path)]) == 0
    assert "block_reappearance" not in synthsae.open_results("k_sweep", tmp_path)


ABOUT_WORLDS = ["rank_sweep", "k_sweep", "variant_sweep", "synthsaebench", "law_sweep", "song_toy"]


@pytest.mark.parametrize("name", ABOUT_WORLDS)
def test_what_cannot_be_drawn_of_another_source_is_refused(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3000, 12), "f4"))
    array = {"source.arrays": str(tmp_path / "x.npy"), "eval_samples": 100, "n_seeds": 2}
    with pytest.raises(ConfigError) as error:
        plan(load(name), array | {"train.batch_size": 64, "sae.n_latents": 64}, quick=True)
    assert error.value.field == "source.arrays"
    assert "a planted world" in error.value.allowed
