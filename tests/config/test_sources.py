"""Sources of one kind: what a config names, what a study varies on it, and one of one's own."""

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthsae
from synthsae.checks import ConfigError
from synthsae.config import Config, kinds, override
from synthsae.config.sources import FIELDS, NAMING, SourceConfig
from synthsae.scores.run import lawful, run_cell
from synthsae.study import cli, fingerprint, load, plan
from synthsae.study.cell import training_code

MINE = """
import torch
from beside import SCALE


class Noise:
    d_model = 8

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        g = torch.Generator().manual_seed(hash((t, seed, stream == "data")) % 2**31)
        return SCALE * torch.randn(size, 8, generator=g).to(device)
"""
TINY: dict[str, Any] = {
    "n_seeds": 2,
    "train.n_steps": 4,
    "train.batch_size": 32,
    "sae.n_latents": 12,
    "sae.k": 2,
    "eval_samples": 300,
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file with a source, and the module beside it."""
    (tmp_path / "beside.py").write_text("SCALE = 2.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


@pytest.fixture
def call(mine: Path, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    def run(study: str, *more: str, name: str = "Noise") -> tuple[int, str]:
        sets = [f"{f}={v}" for f, v in TINY.items()] + [f"source.file={mine}:{name}"]
        options = [text for pair in sets for text in ("--set", pair)]
        status = cli.main([study, *options, "--out", str(mine.parent / "r"), *more])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_every_field_of_a_source_belongs_to_a_kind() -> None:
    every = set(vars(SourceConfig())) - set(NAMING)
    assert every == {name for names in FIELDS.values() for name in names}
    assert set(FIELDS) == {"world", *NAMING}
    for name in FIELDS:
        assert kinds.kind_of(name).what


def test_nothing_changes_a_frozen_config(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((300, 5), "f4"))
    config = override(
        Config(),
        {"source.arrays": str(tmp_path / "x.npy"), "eval_samples": 20}
        | {"sae.k": 2}
        | {"train.batch_size": 90},
    )
    assert (config.train.n_steps, config.training.n_steps) == (Config().train.n_steps, 3)
    assert override(config, {"train.n_steps": 7}).to_json() == config.to_json()
    with pytest.raises(FrozenInstanceError):
        config.train = config.training  # type: ignore[misc]


def test_a_world_is_no_part_of_another_source(mine: Path) -> None:
    own = override(Config(), {"source.file": f"{mine}:Noise"})
    assert not {"world", "world_seed"} & {*json.loads(own.to_json())}
    for other in ({"world.rank": 7}, {"world_seed": 3}):
        assert override(own, other).to_json() == own.to_json()
        assert override(Config(), other).to_json() != Config().to_json()
    assert "source" not in json.loads(Config().to_json())
    assert not lawful(own)


def test_one_source_and_no_more(mine: Path) -> None:
    with pytest.raises(ConfigError) as error:
        SourceConfig(arrays="x.npy", file=f"{mine}:Noise")
    assert (error.value.field, error.value.allowed) == ("source.file", "none beside source.arrays")


@pytest.mark.parametrize("study", ["consensus", "transfer", "asymmetry"])
def test_a_study_has_no_axis_of_a_world_elsewhere(study: str, mine: Path) -> None:
    source = {"source.file": f"{mine}:Noise", **TINY}
    grid = plan(load(study), source, quick=True)
    assert len(grid.cells) == 1
    own = ", ".join(load(study).axes)
    assert grid.notes[0] == f"on a source of one's own: no axes {own}"
    field = next(iter(load(study).axes))
    with pytest.raises(ConfigError) as error:
        plan(load(study), source | {field: ["0", "0.1"]})
    assert error.value.field == field


def test_axes_belong_to_a_kind_of_source(mine: Path) -> None:
    """Layers are a model's."""
    assert list(plan(load("seed_stability"), {}, quick=True).axes) == ["n_latents"]
    own = plan(load("seed_stability"), {"source.file": f"{mine}:Noise", **TINY}, quick=True)
    assert list(own.axes) == ["n_latents"]
    with pytest.raises(ConfigError) as error:
        plan(load("seed_stability"), {"source.layer": 2})
    assert error.value.field == "source.layer"


def test_an_axis_of_some_cells_alone_is_refused(mine: Path) -> None:
    both = {"source.file": ["", f"{mine}:Noise"], **TINY, "world.d_model": 8, "world.rank": 2}
    both |= {"world.n_isolated": 4, "world.n_blocks": 2}
    study = load("synthetic_vs_real")
    assert len(plan(study, both, quick=True).cells) == 2
    with pytest.raises(ConfigError) as error:
        plan(study, both | {"world.rank": ["2", "3"]}, quick=True)
    assert error.value.field == "world.rank"


def test_a_named_world_needs_no_other_source(call: Callable[..., tuple[int, str]]) -> None:
    status, said = call("transfer", "--world", "song_toy")
    assert status == 2
    assert "--world: 'song_toy'; allowed: no other source beside it" in said


def test_a_source_of_ones_own(call: Callable[..., tuple[int, str]], mine: Path) -> None:
    """From the command line; what it reads is code, of which an edit trains again."""
    status, said = call("transfer")
    assert (status, "1 cells, 1 to train" in said) == (0, True), said
    ds = synthsae.open_results("transfer", mine.parent / "r")
    assert ds.transfer.notnull().any()
    assert "1 cells, 0 to train" in call("transfer")[1]
    (mine.parent / "beside.py").write_text("SCALE = 2.0  # a remark\n")
    assert "1 cells, 0 to train" in call("transfer")[1]
    (mine.parent / "beside.py").write_text("SCALE = 3.0\n")
    said = call("transfer")[1]
    assert "1 cells, 1 to train" in said
    assert "trained again, 1 cells: beside:SCALE changed" in said


def test_the_code_of_a_source_is_code_of_a_training(mine: Path) -> None:
    own = override(Config(), {"source.file": f"{mine}:Noise", **TINY})
    parts = training_code(own).parts
    assert {"mine:Noise", "beside:SCALE"} <= parts.keys()
    assert "synthsae.world.world:World" not in parts
    assert "mine:Noise" not in training_code(Config()).parts
    reached = fingerprint.fingerprint(*own.reaches).without("synthsae.definitions")
    assert reached.parts.keys() <= parts.keys()
    assert run_cell(own).d_model == 8


@pytest.mark.parametrize(
    ("old", "new", "name", "words"),
    [
        ("d_model = 8", "d_model = 'x'", "Noise", "allowed: an ActivationSource: `d_model`"),
        ("d_model = 8", "d_model = 8\n    def __init__(self, n): ...", "Noise", "TypeError"),
        ("", "", "Nose", "the name of a class that"),
        ("", "", "", "the name of a class that"),
        ("class Noise:", "1 / 0\nclass Noise:", "Noise", "mine.py:6"),
    ],
)
def test_what_is_wrong_with_it_is_a_line(
    old: str, new: str, name: str, words: str, call: Callable[..., tuple[int, str]], mine: Path
) -> None:
    mine.write_text(MINE.replace(old, new, 1) if old else MINE)
    status, said = call("transfer", name=name)
    assert status == 2
    assert words in said
    assert "Traceback" not in said


def test_what_it_raises_has_file_and_line(call: Callable[..., tuple[int, str]], mine: Path) -> None:
    mine.write_text(MINE.replace("g = torch", "raise KeyError('x')\n        g = torch"))
    status, said = call("transfer")
    assert status == 1
    assert "failed: KeyError: 'x'" in said
    assert "mine.py:10" in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("no.py:A", "no", f"{tmp_path}:A"):
        with pytest.raises(ConfigError) as error:
            override(Config(), {"source.file": name})
        assert error.value.field == "source.file"


def test_the_example_of_the_guide(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    (code,) = re.findall(r"```python\n# my_source.py\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_source.py").write_text(code)
    (option,) = re.findall(r"--set source.file=my_source.py:(\w+)", text)
    own = {"source.file": f"{tmp_path / 'my_source.py'}:{option}"}
    run = run_cell(override(Config(), TINY | own))
    assert run.d_model == 16
    assert len(plan(load("transfer"), TINY | own, quick=True).cells) == 1
