"""Studies end to end: grid, files, resume after anything, and one line for every bad input."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import synthsae
from synthsae import scores, studies, study
from synthsae.checks import ConfigError
from synthsae.config import Config, describe, override
from synthsae.evaluation import evaluate
from synthsae.provenance import git_commit
from synthsae.sae import SAEConfig, SAEStack
from synthsae.scores import run as results
from synthsae.study import cell, cli, store
from synthsae.study import runner as run
from synthsae.study.store import Store
from synthsae.train import TrainConfig, checkpoint
from synthsae.world import PRESETS, World, WorldConfig

TINY = [
    *("--seeds", "3"),
    *("--set", "world.d_model=16"),
    *("--set", "world.n_isolated=4"),
    *("--set", "world.n_blocks=2"),
    *("--set", "world.rank=1,2"),
    *("--set", "train.n_steps=12"),
    *("--set", "train.batch_size=64"),
    *("--set", "sae.k=3"),
    *("--set", "eval_samples=500"),
]

VARIABLES = """
    block_reappearance isolated_reappearance coverage_prediction coverage_closed_form
    coverage_a_priori subspace_overlap cross_seed_overlap block_feature_mcc principal_angle
    latents_per_block feature_mcc pairwise_mcc explained_variance l0 dead_fraction
    block_reappearance_chance subspace_overlap_chance pairwise_mcc_chance feature_mcc_chance
"""


MEASURES = (scores.reconstruction, scores.seed_agreement)


def tiny(*more: str) -> list[str]:
    """The options of TINY, but for those that `more` sets, and then `more`."""
    pairs = list(zip(TINY[::2], TINY[1::2], strict=True))
    new = {text.split("=")[0] for text in more}
    kept = [
        (flag, text) for flag, text in pairs if not {flag, text.split("=")[0]} - {"--set"} & new
    ]
    return [*(part for pair in kept for part in pair), *more]


def go(out: Path, *more: str) -> int:
    laws = (
        []
        if any("world.law=" in text for text in more)
        else ["--set", "world.law=isotropic,sparse"]
    )
    return cli.main(["rank_sweep", "--out", str(out), *laws, *tiny(*more)])


def cells(out: Path) -> list[Path]:
    return sorted((out / "rank_sweep" / "cells").glob("*.cell"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done")
    assert go(out) == 0
    return out


@pytest.mark.slow
def test_dataset_is_labelled(done: Path) -> None:
    ds = synthsae.open_results("rank_sweep", done)
    assert dict(ds.sizes) == dict(law=2, rank=2, seed=3, seed_a=3, seed_b=3, block=2, angle=2)
    assert list(ds.law.values) == ["isotropic", "sparse"]
    assert list(ds["rank"].values) == [1, 2]
    for name in VARIABLES.split():
        assert ds[name].attrs["long_name"], name
        assert ds[name].attrs["units"], name
    assert ds.principal_angle.attrs["units"] == "rad"
    assert np.isnan(ds.principal_angle.sel(rank=1, angle=1)).all()
    assert np.isnan(ds.block_feature_mcc.sel(law="isotropic")).all()
    config = json.loads(ds.attrs["config"])
    assert config["base"]["world"]["d_model"] == 16
    assert config["axes"]["rank"] == [1, 2]
    assert {"git_commit", "versions", "device", "wall_seconds", "hash"} <= set(ds.attrs)
    for kind in ("png", "pdf"):
        assert (done / "rank_sweep" / f"rank_sweep.{kind}").stat().st_size > 1000


def test_rerun_trains_nothing_and_says_the_same(done: Path, capsys: pytest.CaptureFixture) -> None:
    before = synthsae.open_results("rank_sweep", done)
    stamps = [(p.name, p.stat().st_mtime_ns) for p in cells(done)]
    assert go(done) == 0
    assert "4 cells, 0 to train" in capsys.readouterr().out
    assert [(p.name, p.stat().st_mtime_ns) for p in cells(done)] == stamps
    assert synthsae.open_results("rank_sweep", done).equals(before)


@pytest.mark.slow
def test_same_bits_in_another_folder(done: Path, tmp_path: Path) -> None:
    assert go(tmp_path) == 0
    again = synthsae.open_results("rank_sweep", tmp_path)
    assert again.equals(synthsae.open_results("rank_sweep", done))
    other = tmp_path / "other"
    assert go(other, "--world-seed", "1") == 0
    assert not synthsae.open_results("rank_sweep", other).equals(again)


def test_a_cell_is_its_own_run(done: Path) -> None:
    """What a cell holds is what its config gives without any study."""
    ds = synthsae.open_results("rank_sweep", done).sel(law="sparse", rank=2)
    changes = dict(text.split("=") for text in TINY[3::2] if "world.rank" not in text)
    changes |= {"world.law": "sparse", "world.rank": 2, "n_seeds": 3}
    base = cli.load("rank_sweep").base
    run = results.run_cell(override(base, changes))
    assert np.array_equal(run.evaluation.explained_variance, ds.explained_variance)
    found = scores.block_stability(run).block_reappearance
    assert np.array_equal(found, ds.block_reappearance, equal_nan=True)


def test_figures_only_draws_without_training(done: Path, capsys: pytest.CaptureFixture) -> None:
    figure = done / "rank_sweep" / "rank_sweep.png"
    size = figure.stat().st_size
    figure.unlink()
    assert cli.main(["rank_sweep", "--out", str(done), "--figures-only"]) == 0
    assert figure.stat().st_size == size
    assert "to train" not in capsys.readouterr().out


def test_comma_list_on_any_field_is_a_dimension(tmp_path: Path) -> None:
    more = ["--set", "world.law=isotropic", "--set", "sae.k=2,3", "--set", "train.lr=none,0.01"]
    assert go(tmp_path, *more) == 0
    ds = synthsae.open_results("rank_sweep", tmp_path)
    assert ds.sizes["k"] == 2
    assert list(ds.lr.values) == ["None", "0.01"]
    assert ds.block_reappearance.dims == ("law", "rank", "k", "lr", "seed", "block")
    assert float(ds.l0.sel(k=2).max()) <= 2 < float(ds.l0.sel(k=3).max())


def test_equal_axis_values_are_one_cell(tmp_path: Path) -> None:
    grid = study.plan(cli.load("rank_sweep"), {"world.rank": ["2", "02", 2], "world.law": "sparse"})
    assert grid.axes == {"law": ["sparse"], "rank": [2]}
    assert len(grid.cells) == 1


@pytest.mark.slow
def test_damaged_cell_is_named_and_computed_again(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert go(tmp_path) == 0
    flipped, short, *_ = cells(tmp_path)
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    short.write_bytes(short.read_bytes()[:100])
    capsys.readouterr()
    assert go(tmp_path) == 0
    out = capsys.readouterr().out
    assert str(flipped) in out
    assert str(short) in out
    assert "4 cells, 0 to train, 2 to score with SAEs that are there" in out
    assert synthsae.open_results("rank_sweep", tmp_path).equals(
        synthsae.open_results("rank_sweep", done)
    )


@pytest.mark.slow
def test_earlier_dataset_of_another_config_is_kept(tmp_path: Path) -> None:
    assert go(tmp_path, "--set", "world.law=sparse") == 0
    first = synthsae.open_results("rank_sweep", tmp_path)
    assert go(tmp_path) == 0
    kept = tmp_path / "rank_sweep" / f"rank_sweep-{first.attrs['hash']}.nc"
    assert xr.load_dataset(kept).equals(first)
    assert len(cells(tmp_path)) == 4  # the cells of the first call were used again


@pytest.mark.slow
def test_failing_cell_is_reported_and_others_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cell.run_cell

    def broken(config: Config, checkpoint: object) -> results.Run:
        if config.world.law == "sparse" and config.world.rank == 2:
            raise RuntimeError("no luck")
        return whole(config)

    monkeypatch.setattr(cell, "run_cell", broken)
    assert go(tmp_path) == 1
    out = capsys.readouterr().out
    assert "failed: RuntimeError: no luck" in out
    assert '"law": "sparse"' in out
    ds = synthsae.open_results("rank_sweep", tmp_path)
    missing = np.isnan(ds.explained_variance).all("seed")
    assert missing.values.tolist() == [[False, False], [False, True]]
    monkeypatch.undo()
    assert go(tmp_path) == 0
    assert not np.isnan(synthsae.open_results("rank_sweep", tmp_path).explained_variance).any()


def test_frozen_seed_is_nan_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = results.World.batch

    def poisoned(self, t, size, *, seed, stream="data", device="cpu"):
        x = whole(self, t, size, seed=seed, stream=stream, device=device)
        return x * float("nan") if (seed, t, stream) == (1, 3, "data") else x

    monkeypatch.setattr(results.World, "batch", poisoned)
    assert go(tmp_path, "--set", "world.law=isotropic") == 0
    assert "{'1': 3}" in capsys.readouterr().out
    ds = synthsae.open_results("rank_sweep", tmp_path)
    assert np.isnan(ds.explained_variance.sel(seed=1)).all()
    assert not np.isnan(ds.explained_variance.sel(seed=[0, 2])).any()
    assert list(json.loads(ds.attrs["frozen"]).values()) == [{"1": 3}] * 2


def test_ctrl_c_keeps_cells_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = cell.run_cell, []

    def interrupted(config: Config, checkpoint: object) -> results.Run:
        calls.append(config)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(config)

    monkeypatch.setattr(cell, "run_cell", interrupted)
    assert go(tmp_path) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(cells(tmp_path)) == 2


BAD = {
    "unknown study": (["nope"], "study: 'nope'; allowed: list, "),
    "no study": ([], "study: None; allowed: list, "),
    "rank above D": (
        ["rank_sweep", "--set", "world.rank=200"],
        "world.rank: 200; allowed: 1 or more, at most 128",
    ),
    "blocks that do not fit": (
        ["rank_sweep", "--set", "world.n_blocks=9"],
        "world.n_blocks: 9; allowed: 0 to 7, blocks of rank 16 that fit",
    ),
    "k above M": (
        ["rank_sweep", "--set", "sae.k=300"],
        "sae.k: 300; allowed: 1 or more, at most 256",
    ),
    "unknown law": (
        ["rank_sweep", "--set", "world.law=cauchy"],
        "world.law: 'cauchy'; allowed: iso",
    ),
    "unknown architecture": (["rank_sweep", "--set", "sae.arch=x"], "sae.arch: 'x'; allowed: topk"),
    "negative probability": (
        ["rank_sweep", "--set", "world.block_p=-0.1"],
        "world.block_p: -0.1; allowed: 0 or more, at most 1",
    ),
    "not a number": (
        ["rank_sweep", "--set", "world.block_p=often"],
        "world.block_p: 'often'; allowed: a number",
    ),
    "not finite": (
        ["rank_sweep", "--set", "world.noise=nan"],
        "world.noise: nan; allowed: 0 or more",
    ),
    "not an integer": (["rank_sweep", "--set", "sae.k=2.5"], "sae.k: '2.5'; allowed: an integer"),
    "empty value": (["rank_sweep", "--set", "sae.k="], "sae.k: ''; allowed: an integer"),
    "unknown field": (
        ["rank_sweep", "--set", "world.rang=2"],
        "did you mean world.rank?",
    ),
    "a section": (["rank_sweep", "--set", "world=2"], "field: 'world'; allowed: world.d_model"),
    "no value": (["rank_sweep", "--set", "sae.k"], "--set: 'sae.k'; allowed: FIELD=VALUE"),
    "a list": (["rank_sweep", "--set", "sae.k=[2]"], "sae.k: '[2]'; allowed: an integer"),
    "a quote": (["rank_sweep", "--set", "sae.k='"], 'sae.k: "\'"; allowed: an integer'),
    "interpolation": (
        ["rank_sweep", "--set", "sae.k=${n_seeds}"],
        "sae.k: '${n_seeds}'; allowed: ",
    ),
    "none, not optional": (["rank_sweep", "--set", "sae.k=none"], "sae.k: 'none'; allowed: an int"),
    "optional": (
        ["rank_sweep", "--set", "sae.n_latents=x"],
        "sae.n_latents: 'x'; allowed: an integer or none",
    ),
    "infinite": (["rank_sweep", "--set", "world.noise=inf"], "world.noise: inf; allowed: a finite"),
    "abbreviated option": (["rank_sweep", "--see", "3"], "unrecognized arguments: --see 3"),
    "fields with figures only": (
        ["rank_sweep", "--figures-only", "--set", "sae.k=3"],
        "--figures-only: 'rank_sweep'; allowed: no --quick, world or field",
    ),
    "figures of nothing": (["rank_sweep", "--figures-only"], "no such file"),
    "one seed": (["rank_sweep", "--seeds", "1"], "n_seeds: 1; allowed: 2 or more"),
    "device": (["rank_sweep", "--device", "tpu"], "train.device: 'tpu'; allowed: auto, cpu, cuda"),
    "option": (["rank_sweep", "--sedes", "3"], "unrecognized arguments: --sedes 3"),
    "one bad value of an axis": (
        ["rank_sweep", "--set", "world.rank=2,4,-1"],
        "world.rank: -1; allowed: 1 or more, at most 128",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_touches_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, message = BAD[name]
    out = tmp_path / "results"
    try:
        status = cli.main([*arguments, "--out", str(out)])
    except SystemExit as stop:  # argparse's own errors
        status = int(str(stop.code))
    captured = capsys.readouterr()
    assert status == 2
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_no_cuda(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert go(tmp_path / "x", "--device", "cuda") == 2
    assert "train.device: 'cuda'; allowed: cpu or auto" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_foreign_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert go(tmp_path) == 2
    assert f"out: '{tmp_path}'; allowed: a new or empty folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    assert go(tmp_path / "thesis.tex") == 2
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    assert cli.main(["rank_sweep", "--out", str(tmp_path), "--figures-only"]) == 2
    assert not (tmp_path / ".synthsae").exists()


def test_full_disk_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("synthsae.study.store.os.fsync", full)
    assert go(tmp_path) == 2
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    left = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(left) == [".lock", ".lock", ".owner", ".synthsae"]


def test_disk_full_at_the_end_keeps_the_earlier_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go(tmp_path, "--set", "world.law=sparse") == 0
    before = synthsae.open_results("rank_sweep", tmp_path)
    save = Store.save

    def full(self: Store, name: str, data: bytes) -> None:
        if name.startswith("rank_sweep"):
            raise ConfigError("out", name, "a folder with room")
        save(self, name, data)

    monkeypatch.setattr(Store, "save", full)
    assert go(tmp_path) == 2
    assert synthsae.open_results("rank_sweep", tmp_path).equals(before)


@pytest.mark.parametrize("harm", ["flip", "cut", "unsealed", "junk"])
def test_damaged_dataset(
    harm: str, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "rank_sweep" / "rank_sweep.nc"
    data = path.read_bytes()
    value = synthsae.open_results("rank_sweep", tmp_path).explained_variance.values.ravel()[0]
    at = data.index(np.float64(value).tobytes())  # HDF5 itself does not see another number there
    flip = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    harmed = {
        "flip": flip,
        "cut": data[:1000],
        "unsealed": data.rpartition(store.SEAL)[0],
        "junk": b"junk",
    }
    path.write_bytes(harmed[harm])
    assert cli.main(["rank_sweep", "--out", str(tmp_path), "--figures-only"]) == 2
    assert "damaged; python -m synthsae.study rank_sweep mends it" in capsys.readouterr().err
    assert go(tmp_path) == 0
    assert synthsae.open_results("rank_sweep", tmp_path).equals(
        synthsae.open_results("rank_sweep", done)
    )


def test_no_git_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    git_commit.cache_clear()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert git_commit() == "unknown"
    git_commit.cache_clear()


@pytest.mark.parametrize("text", ["study = (", "1 / 0", "import nosuchmodule"])
def test_study_file_that_does_not_import(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    mine = tmp_path / "broken.py"
    mine.write_text(text)
    assert cli.main([str(mine), "--out", str(tmp_path / "r")]) == 2
    err = capsys.readouterr().err
    assert "allowed: a file that can be imported (" in err
    assert err.count("\n") == 1


def test_the_number_of_seeds_may_be_an_axis(tmp_path: Path) -> None:
    assert go(tmp_path, "--seeds", "2,3", "--set", "world.law=isotropic") == 0
    ds = synthsae.open_results("rank_sweep", tmp_path)
    assert np.isnan(ds.l0.sel(n_seeds=2, seed=2)).all()
    assert not np.isnan(ds.l0.sel(n_seeds=3)).any()


def test_study_file_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from synthsae import scores\n"
        "from synthsae.config import Config\n"
        "from synthsae.study import Study\n"
        "from matplotlib.figure import Figure\n"
        "study = Study('Mine?', Config(), {'world.noise': (0.0, 0.1)},\n"
        "              (scores.reconstruction,), lambda ds: Figure(), lambda ds: 'Found.')\n"
    )
    options = tiny("--set", "world.rank=1")
    assert cli.main([str(mine), "--out", str(tmp_path / "r"), *options]) == 0
    assert dict(synthsae.open_results("mine", tmp_path / "r").sizes) == dict(noise=2, seed=3)
    mine.write_text("study = 3\n")
    assert cli.main([str(mine), "--out", str(tmp_path / "r")]) == 2


def test_list_and_help(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["list"]) == 0
    assert "rank_sweep" in capsys.readouterr().out
    assert cli.main(["rank_sweep", "--help"]) == 0
    text = capsys.readouterr().out
    for name, value, meaning in describe(cli.load("rank_sweep").base):
        assert f"{name} " in text
        assert str(value) in text
        assert meaning, f"{name} has no help"
        assert meaning in text


def test_last_parts_of_field_names_differ() -> None:
    """They are the names of dimensions; a source has a device and threads of its own."""
    names = [name for name, _, _ in describe(Config())]
    own = {"source.device", "source.threads"}
    last = [name.rsplit(".", 1)[-1] for name in names if name not in own]
    assert len(set(last)) == len(last)


@pytest.mark.slow
def test_every_study_is_short_and_runs_quickly_planned() -> None:
    for name in cli.names():
        text = (studies.FOLDER / name / "study.py").read_text()
        assert len(text.splitlines()) <= 110, name
        assert study.plan(cli.load(name), {}, quick=True).cells


def test_store_writes_all_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "r", "x")
    saved = xr.Dataset({"a": ("n", [1.0, 2.0])})
    store.write("abc", saved)
    assert [p.name for p in store.cells.iterdir()] == ["abc.cell"]
    found = store.read("abc")
    assert found is not None
    assert found.identical(saved)
    assert store.read("abd") is None


def test_a_killed_cell_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same bits, fewer steps; and nothing of the checkpoint is left."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    changes = dict(text.split("=") for text in TINY[3::2]) | {"world.rank": 2, "n_seeds": 2}
    tiny = cell.Cell.of(override(cli.load("rank_sweep").base, changes), MEASURES)
    whole, store = Store(tmp_path / "whole", "s"), Store(tmp_path / "cut", "s")
    assert cell.attempt(tiny, MEASURES, whole) == cell.Outcome()
    batch, asked = World.batch, []

    def dying(self: World, t: int, size: int, **keywords: Any) -> Any:
        asked.append(t)
        if len(asked) == 5:
            raise SystemExit  # as a kill: nothing of ours catches it
        return batch(self, t, size, **keywords)

    monkeypatch.setattr(World, "batch", dying)
    with pytest.raises(SystemExit):
        cell.attempt(tiny, MEASURES, store)
    assert list(store.checkpoint(tiny.trained).iterdir())
    assert cell.attempt(tiny, MEASURES, store) == cell.Outcome()
    assert asked.count(0) == 3  # each seed's first batch, and the first of the evaluation
    assert not store.checkpoint(tiny.trained).exists()
    a, b = (s.read(tiny.digest) for s in (whole, store))
    assert a is not None
    assert a.equals(b)


def test_a_world_by_its_name_takes_the_place_of_the_base(tmp_path: Path) -> None:
    args = cli._parser().parse_args(["song_toy", "--world", "gerasimov_like"])
    assert cli.chosen(args).base.world == PRESETS["gerasimov_like"]
    assert cli.chosen(args).base.train == cli.load("song_toy").base.train
    assert cli.main(["song_toy", "--world", "mars", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("text", "steps"), [("2k", 2000), ("0.5M", 500_000), ("1.25k", 1250), ("3B", 3 * 10**9)]
)
def test_numbers_may_be_written_in_thousands_millions_and_billions(text: str, steps: int) -> None:
    config = override(Config(), {"train.n_steps": text, "train.lr": "1k"})
    assert (config.train.n_steps, config.train.lr) == (steps, 1000.0)
    assert isinstance(config.train.n_steps, int)


@pytest.mark.parametrize("text", ["2K", "1.0005k", "k", "2 k", "2kk"])
def test_other_suffixes_and_fractions_of_a_step_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Config(), {"train.n_steps": text})
    assert (caught.value.field, caught.value.value) == ("train.n_steps", text)


STUDY = """
import functools
import xarray as xr
from matplotlib.figure import Figure
from synthsae.config import Config
from synthsae.study import Study
def value():
    return VALUE
def plain(run):
    return xr.Dataset({"a": value()})
def more(run, b=0.0):
    return xr.Dataset({"a": b})
def closure():
    return lambda run: xr.Dataset({"a": 0.0})
def draw(ds):
    return Figure() if float(ds.a.max()) < 3 else [][0]
study = Study("?", Config(), {}, (MEASURE,), draw, lambda ds: "!")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., int]:
    """Run a study of the user's own that measures `value()` by `measure`."""

    def call(value: float = 1.0, measure: str = "plain", *more: str) -> int:
        path = tmp_path / "mine.py"
        path.write_text(STUDY.replace("VALUE", str(value)).replace("MEASURE", measure))
        options = list(more) if "--figures-only" in more else tiny("--set", "world.rank=1", *more)
        return cli.main([str(path), "--out", str(tmp_path / "r"), *options])

    return call


def test_a_changed_measure_is_computed_again(mine: Callable[..., int], tmp_path: Path) -> None:
    """Changed by what it calls in its file."""
    for value in (1.0, 2.0):
        assert mine(value) == 0
        assert float(synthsae.open_results("mine", tmp_path / "r").a) == value


@pytest.mark.parametrize("measure", ["functools.partial(more, b=1.0)", "closure()"])
def test_a_measure_without_a_text_of_its_own_is_refused(
    measure: str, mine: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    assert mine(1.0, measure) == 2
    err = capsys.readouterr().err
    assert err.startswith("synthsae.study: score: ")
    assert "allowed: a function at the top of a .py file" in err


def test_the_state_of_the_package_is_that_of_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = cell.code.__wrapped__(), Path.read_text
    for name, same in (("train/run.py", False), ("figures/rank.py", True)):
        changed = Path(synthsae.__file__).parent / name

        def edited(path: Path, changed: Path = changed, **how: Any) -> str:
            return read(path, **how) + "#" * (path == changed)

        monkeypatch.setattr(Path, "read_text", edited)
        assert (cell.code.__wrapped__() == before) == same


def test_a_figure_that_fails_is_one_line_and_the_numbers_stay(
    mine: Callable[..., int], capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    for more in ((), ("--figures-only",)):
        assert mine(4.0, "plain", *more) == 2
        err = capsys.readouterr().err
        assert "mine.nc'; allowed: a Dataset that the study can draw (IndexError: " in err
        assert "mine.py:16)" in err
        assert float(synthsae.open_results("mine", tmp_path / "r").a) == 4
    assert not list((tmp_path / "r").rglob("*.png"))


def test_axes_need_names_of_their_own() -> None:
    two = {"train.threads": ["1", "2"], "source.threads": ["1", "2"]}
    with pytest.raises(ConfigError) as caught:
        study.plan(cli.load("seed_stability"), two)
    assert (caught.value.field, caught.value.value) == ("axes", "train.threads, source.threads")


def test_the_summary_is_of_all_cells(done: Path, tmp_path: Path) -> None:
    changes = {"n_seeds": ["2", "64"], "sae.n_latents": ["64", "65536"], "train.n_steps": "7"}
    grid = study.plan(cli.load("rank_sweep"), changes | {"world.law": "sparse", "world.rank": "2"})
    text = run.summary(grid, [], (), Store(tmp_path, "rank_sweep"))
    assert "2 to 64 seeds a cell, 7 steps of 1024 samples" in text
    one = study.plan(cli.load("rank_sweep"), {k: v[-1] for k, v in changes.items()})
    last = run.summary(one, [], (), Store(tmp_path, "rank_sweep"))
    bounds = [float(s.split("at most ")[1].split()[0]) for s in (text, last)]
    assert bounds[0] == bounds[1] > 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (f, t)
        for f in ("source.text", "source.subset")
        for t in ("1M", "007", "no", "a #1.txt", "*")
    ],
)
def test_names_are_taken_as_they_are(field: str, text: str) -> None:
    assert override(cli.load("seed_stability").base, {field: text}).get(field) == text


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1e3", 1000),
        ("20.", 20),
        ("010", 10),
        ("1_000", 1000),
        ("1.5k", 1500),
        ("10M", 10**7),
        ("2B", 2 * 10**9),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, steps: int) -> None:
    assert override(Config(), {"train.n_steps": text}).train.n_steps == steps


def test_truth_is_true_or_false() -> None:
    assert override(Config(), {"world.exclusive": "False"}).world.exclusive is False
    with pytest.raises(ConfigError) as caught:
        override(Config(), {"world.exclusive": "no"})
    assert (caught.value.field, caught.value.value) == ("world.exclusive", "no")


def test_no_sexagesimals() -> None:
    with pytest.raises(ConfigError, match=r"train\.n_steps: '1:30'; allowed: an integer"):
        override(Config(), {"train.n_steps": "1:30"})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SAEConfig(k=2.5), "sae.k: 2.5; allowed: an integer"),
        (lambda: SAEConfig(k="4"), "sae.k: '4'; allowed: an integer"),
        (lambda: SAEConfig(k=True), "sae.k: True; allowed: an integer"),
        (lambda: TrainConfig(lr="x"), "train.lr: 'x'; allowed: a number or none"),
        (lambda: WorldConfig(exclusive="no"), "world.exclusive: 'no'; allowed: true or false"),
        (lambda: Config(n_seeds=None), "n_seeds: None; allowed: an integer"),
    ],
)
def test_types_are_checked(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == said


def test_an_error_is_one_printable_line() -> None:
    error = ConfigError("a\x1b[0m", "\n", "b\n c\x0bd\u2028e\udc80 é")
    assert str(error) == "a\\x1b[0m: '\\n'; allowed: b c\\x0bd\\u2028e\\udc80 é"


def test_numbers_of_numpy_become_plain() -> None:
    config = Config(sae=SAEConfig(k=np.int64(4)), train=TrainConfig(lr=np.float32(0.5)))
    assert (type(config.sae.k), type(config.train.lr)) == (int, float)
    assert config.to_json() == Config(sae=SAEConfig(k=4), train=TrainConfig(lr=0.5)).to_json()


def test_an_integer_is_a_number_with_the_same_hash() -> None:
    plain = Config(world=WorldConfig(beta=1.0)).to_json()
    assert Config(world=WorldConfig(beta=1)).to_json() == plain
    assert override(Config(), {"world.beta": 1}).to_json() == plain
    assert override(Config(), {"world.beta": "1"}).to_json() == plain


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_kept_saes_are_those_that_were_measured(
    kept: bool, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Scores of SAEs that were read back are those of the SAEs that were just trained."""
    assert go(tmp_path, *([] if kept else ["--no-keep-saes"])) == 0
    assert len(list(tmp_path.rglob("*.safetensors"))) == 4 * kept
    for path in cells(tmp_path):
        path.unlink()
    capsys.readouterr()
    assert go(tmp_path) == 0
    assert f"4 cells, {0 if kept else 4} to train" in capsys.readouterr().out
    ds = synthsae.open_results("rank_sweep", tmp_path)
    assert ds.equals(synthsae.open_results("rank_sweep", done))
    folder = tmp_path / "trainings"
    assert {p.stem for p in folder.glob("*.safetensors")} == set(ds.training.values.ravel())
    point = {"law": "sparse", "rank": 2}
    stack = SAEStack.load(folder / f"{ds.training.sel(point).item()}.safetensors")
    changes = dict(text.split("=") for text in TINY[3::2]) | {"n_seeds": 3}
    changes |= {"world.law": "sparse", "world.rank": 2}
    config = override(cli.load("rank_sweep").base, changes)
    seen = evaluate(stack, config.open(), config.eval_samples)
    assert np.array_equal(seen.explained_variance, ds.explained_variance.sel(point))
