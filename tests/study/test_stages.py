"""Train once, score often: an edit computes again what depends on it, and the run says why."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xarray as xr

import synthsae
from synthsae import study
from synthsae.checks import ConfigError
from synthsae.study import cli, fingerprint
from synthsae.study.folder import listing
from synthsae.study.store import open_results

STUDY = """
from matplotlib.figure import Figure
from synthsae import scores
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig
from xarray import Dataset


def mine(run):
    return Dataset({"mine": ((), 1.0, {"long_name": "LABEL"})})


def more(run):
    return Dataset({"more": ("seed", run.evaluation.explained_variance)})


study = Study(
    question="?",
    base=Config(
        WorldConfig(d_model=8, n_isolated=6, n_blocks=1, rank=2),
        SAEConfig(n_latents=12, k=2),
        TrainConfig(n_steps=5, batch_size=32),
        n_seeds=2,
        eval_samples=64,
    ),
    axes={"world_seed": (0, 1)},
    scores=(scores.live_stability, scores.reconstruction, SCORES),
    figure=lambda ds: Figure(),
    finding=lambda ds: "!",
)
"""


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let the text of a module be another from here on, as after an edit; its behaviour stays."""
    whole = fingerprint.source

    def forget() -> None:
        fingerprint._parsed.cache_clear()
        fingerprint.fingerprint.cache_clear()

    def edited(module: str, old: str, new: str) -> None:
        text = whole(module)
        assert text is not None
        assert text.count(old) == 1
        forget()
        changed = text.replace(old, new)
        monkeypatch.setattr(
            fingerprint, "source", lambda name: changed if name == module else whole(name)
        )

    yield edited
    forget()


class Folder:
    """A study of two cells in a folder, run again and again."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture):
        self.path, self.capsys = path, capsys
        self.file = path / "tiny_study.py"

    def run(self, *more: str, label: str = "one", scores: str = "mine") -> str:
        """The output of a run, of a study with this label and these scores."""
        self.file.write_text(STUDY.replace("LABEL", label).replace("SCORES", scores))
        self.capsys.readouterr()
        assert cli.main([str(self.file), "--out", str(self.path / "r"), *more]) == 0
        return self.capsys.readouterr().out

    def trained(self) -> dict[str, int]:
        folder = self.path / "r" / "trainings"
        return {p.stem: p.stat().st_mtime_ns for p in folder.glob("*.safetensors")}

    def keys(self) -> list[dict[str, str]]:
        """The key of each score in each cell, by its short name."""
        found = []
        for digest in self.dataset().cell_hash.values:
            path = self.path / "r" / "tiny_study" / "cells" / f"{digest}.cell"
            cell = synthsae.study.packing.unpack(path.read_bytes().partition(b"\n")[2])
            scores = json.loads(cell.attrs["scores"])
            found.append({name.split(".")[-1]: s["key"] for name, s in scores.items()})
        return found

    def dataset(self) -> xr.Dataset:
        return open_results("tiny_study", self.path / "r")


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> Folder:
    made = Folder(tmp_path, capsys)
    assert "2 cells, 2 to train" in made.run()
    return made


def computed_again(folder: Folder, **how: str) -> tuple[bool, set[str], str]:
    """Whether a run trained, which scores it computed, and what it said."""
    trained, keys = folder.trained(), folder.keys()
    out = folder.run(**how)
    scored = {
        name
        for before, after in zip(keys, folder.keys(), strict=True)
        for name in after
        if before.get(name) != after[name]
    }
    return folder.trained() != trained, scored, out


EVERY = {"live_stability", "reconstruction", "mine"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "old", "new", "trains", "scores"),
    [
        (
            "metrics.reappearance",
            "THETA = DEFAULTS.theta",
            "THETA = 0.1",
            False,
            {"live_stability"},
        ),
        ("sae.kernels", "values.relu_()", "values.relu_() * 1", True, EVERY),
        ("world.sampler", "WIDEST = 8192", "WIDEST = 4096", True, EVERY),
        ("scores.live", '"live latents",', '"live",', False, {"live_stability"}),
        ("definitions", "_field(0.7", "_field(0.1", False, EVERY),
        ("sae.kernels", "import warnings\n", "import warnings  # for CSR\n", False, set()),
    ],
)
def test_what_an_edit_computes_again(folder, edit, module, old, new, trains, scores):
    edit(f"synthsae.{module}", old, new)
    did_train, scored, out = computed_again(folder)
    assert (did_train, scored) == (trains, scores)
    assert ("trained again, 2 cells: " in out) == trains
    assert ("scored again, 2 cells, live_stability: " in out) == (not trains and bool(scores))
    if scores:
        name = {
            "metrics.reappearance": "THETA",
            "sae.kernels": "top",
            "definitions": "Definitions",
        }.get(module, "")
        assert f"synthsae.{module}:{name}" in out
    assert folder.run().count("2 cells, 0 to train: ") == 1  # and then all is up to date


def test_a_label_of_ones_own_score_is_that_score_alone(folder):
    trained, scored, out = computed_again(folder, label="two")
    assert (trained, scored) == (False, {"mine"})
    assert folder.dataset().mine.attrs["long_name"] == "two"
    assert "2 cells, 0 to train, 2 to score with SAEs that are there" in out


def test_a_new_score_costs_itself(folder):
    trained, scored, _ = computed_again(folder, scores="mine, more")
    assert (trained, scored) == (False, {"more"})
    ds = folder.dataset()
    assert ds.more.dims == ("world_seed", "seed")
    assert ds.more.equals(ds.explained_variance)


def test_without_saes_a_new_score_trains(tmp_path, capsys):
    folder = Folder(tmp_path, capsys)
    folder.run("--no-keep-saes")
    assert folder.trained() == {}
    assert "2 cells, 2 to train" in folder.run(scores="mine, more")


def test_saes_are_kept_up_to_a_size(tmp_path, capsys):
    folder = Folder(tmp_path, capsys)
    one = 2 * (4 * (2 * 12 * 8 + 2 * 12) + 8 * 12) / 2**30
    assert "SAEs of 1 of 2 cells are kept" in folder.run("--keep-gib", str(1.5 * one))
    assert len(folder.trained()) == 1


def test_another_study_on_the_same_config_trains_nothing(folder):
    folder.file = folder.path / "another.py"
    assert "2 cells, 0 to train, 2 to score" in folder.run()


def test_stale_trainings_may_be_accepted_and_it_is_said(folder, edit):
    edit("synthsae.sae.kernels", "values.relu_()", "values.relu_() * 1")
    trained = folder.trained()
    out = folder.run("--accept-stale", scores="mine, more")
    assert folder.trained() == trained
    assert "2 cells, 0 to train, 2 to score" in out
    assert json.loads(folder.dataset().attrs["stale"]) == ["synthsae.sae.kernels:top"]
    assert "2 cells, 0 to train: " in folder.run("--accept-stale", scores="mine, more")
    assert "2 cells, 2 to train" in folder.run(scores="mine, more")  # never by default
    assert json.loads(folder.dataset().attrs["stale"]) == []


def test_a_damaged_training_is_made_again(folder):
    path = next((folder.path / "r" / "trainings").glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    before = folder.dataset()
    folder.run(scores="mine, more")
    assert folder.dataset().drop_vars("more").equals(before)
    assert path.read_bytes() != bytes(data)


def test_a_folder_says_what_it_holds_and_is_cleaned(folder, capsys):
    """Cells and trainings of an earlier axis go; the rest serves as before."""
    folder.run("--set", "world_seed=1,2")
    out = folder.path / "r"
    for kept in out.glob("tiny_study/tiny_study-*.nc"):
        kept.unlink()  # an earlier Dataset that is kept refers to its cells
    found = listing(out)
    assert found.studies["tiny_study"][0] == 3
    assert found.trainings[0] == 3
    assert {p.suffix for p in found.unused} == {".cell", ".json", ".safetensors"}
    assert cli.main(["results", "--out", str(out)]) == 0
    assert "`clean` removes that" in capsys.readouterr().out
    assert cli.main(["clean", "--out", str(out)]) == 0
    left = listing(out)
    assert (left.studies["tiny_study"][0], left.trainings[0], left.unused) == (2, 2, ())
    assert "2 cells, 0 to train: " in folder.run("--set", "world_seed=1,2")


def test_only_a_results_folder_is_cleaned(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("x")
    for command in ("results", "clean"):
        assert cli.main([command, "--out", str(tmp_path)]) == 2
        assert "allowed: a results folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_cells_of_a_run_that_has_not_ended_stay(folder):
    out = folder.path / "r"
    (out / "tiny_study" / "tiny_study.nc").unlink()
    assert listing(out).unused == ()


def test_a_study_is_run_from_python(folder):
    before = folder.dataset()
    ds = study.run(folder.file, out=folder.path / "r")
    assert ds.identical(before)
    ds = study.run(str(folder.file), {"world_seed": [0, 1, 2]}, out=folder.path / "r")
    assert ds.sizes["world_seed"] == 3
    with pytest.raises(ConfigError) as caught:
        study.run("no_such_study")
    assert caught.value.field == "study"


def test_what_a_killed_run_left_of_a_training_goes(folder):
    left = [
        folder.path / "r" / "trainings" / n for n in (".a.safetensors.0.part", "code/.b.0.part")
    ]
    for path in left:
        path.write_text("half of it")
    folder.run("--set", "world_seed=3", label="another", scores="more")
    assert not any(path.exists() for path in left)
