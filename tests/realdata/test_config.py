"""What a source may be, and what is known of it before it is read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from language_models import KINDS, LAYERS, WIDTH

from realdata import hub
from realdata.cache import cache_folder
from realdata.rows import n_eval, n_rows, n_train
from synthsae.checks import ConfigError
from synthsae.config import Config, describe, override
from synthsae.config.sources import SourceConfig
from synthsae.study import load, plan
from synthsae.train import TrainConfig
from synthsae.world import World

Folders = Callable[[str], Path]


def config(folder: Path | str, text: Path | str = "t.txt", **fields: Any) -> Config:
    there = {"context": 16, "tokens": 2000} | fields
    return Config(source=SourceConfig(model=str(folder), text=str(text), **there), eval_samples=100)


def test_without_a_source_it_is_the_world() -> None:
    mine = Config()
    assert mine.planted
    assert mine.d_model == mine.world.d_model
    assert mine.training == mine.train
    assert isinstance(mine.open(), World)
    assert "source" not in json.loads(mine.to_json())


@pytest.mark.parametrize("kind", KINDS)
def test_facts_of_a_folder(language_model: Folders, kind: str) -> None:
    assert hub.facts(str(language_model(kind))) == hub.Facts(WIDTH, LAYERS, 64)
    made = config(language_model(kind))
    assert made.d_model == WIDTH
    assert not made.planted


def test_steps_follow_from_passes(language_model: Folders) -> None:
    folder = language_model("gpt2")
    assert config(folder).training.n_steps == 1800 // 512
    assert config(folder, passes=2.5, held_out=0.25).training.n_steps == 3750 // 512
    kept = Config(
        train=TrainConfig(n_steps=7),
        source=SourceConfig(model=str(folder), text="t.txt", passes=0, context=16),
    )
    assert kept.training.n_steps == 7
    changes = {"source.passes": "4", "train.batch_size": "100", "source.tokens": "20k"}
    assert override(config(folder), changes).training.n_steps == 720


def test_passes_without_a_step_are_refused(language_model: Folders) -> None:
    made = config(language_model("gpt2"))
    assert override(made, {"train.batch_size": 1800}).training.n_steps == 1
    words = "enough for a step: 1800 rows times passes are fewer than train.batch_size, 1801"
    with pytest.raises(ConfigError) as error:
        override(made, {"train.batch_size": 1801})
    assert str(error.value) == f"source.passes: 1.0; allowed: {words}"
    assert override(made, {"train.batch_size": 1801, "source.passes": 1.01}).training.n_steps == 1
    untrained = {"source.passes": 0, "train.n_steps": 0}
    assert override(made, untrained).training.n_steps == 0


def test_every_field_has_help() -> None:
    assert all(text for name, _, text in describe(Config()) if name.startswith("source."))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("hook", "resid_mid", "resid_pre, resid_post, attn_out, mlp_out"),
        ("layer", 3, "0 or more, at most 2"),
        ("layer", -1, "0 or more"),
        ("layer", None, "an integer"),
        ("layer", b"x", "an integer"),
        ("column", 3, "a name"),
        ("passes", [], "a number"),
        ("context", 65, "2 or more, at most 64"),
        ("dtype", "float16", "float32, bfloat16"),
        ("device", "tpu", "auto, cpu, cuda"),
        ("held_out", 0.0, "above 0, at most 0.9"),
        ("max_norm", -1.0, "0 or more"),
        ("bad_rows", 1.5, "0 or more, at most 1"),
        ("special_tokens", "pars", "text, parse"),
        ("passes", -1.0, "0 or more"),
        ("cache_limit", 0.0, "above 0"),
        ("arrays", "x.npy", "none beside source.model"),
    ],
)
def test_bad_fields(language_model: Folders, field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(language_model("gpt2"), **{field: value})
    assert (error.value.field, error.value.value) == (f"source.{field}", value)
    assert error.value.allowed.partition("; did you mean")[0] == allowed


def test_a_model_needs_text(language_model: Folders) -> None:
    with pytest.raises(ConfigError) as error:
        config(language_model("gpt2"), text="")
    assert (error.value.field, error.value.value) == ("source.text", "")


def test_more_evaluation_than_is_held_out(language_model: Folders) -> None:
    with pytest.raises(ConfigError) as error:
        config(language_model("gpt2"), tokens=500)
    assert (error.value.field, error.value.value) == ("eval_samples", 100)
    assert error.value.allowed.startswith("at most 50,")


def test_cells_know_the_model_and_the_text(language_model: Folders, tmp_path: Path) -> None:
    text, other = tmp_path / "a.txt", tmp_path / "b.txt"
    text.write_text("one")
    made = config(language_model("gpt2"), text)
    assert json.loads(made.to_json())["source"]["layer"] == 0
    assert made.to_json() == config(language_model("gpt2"), text, cache="x").to_json()
    assert made.to_json() == config(language_model("gpt2"), text, bad_rows=0.5).to_json()
    other.write_text("two")
    found = [
        json.loads(config(language_model(kind), path).to_json())["source"]["identity"]
        for kind, path in (("gpt2", text), ("gpt2", other), ("llama", text))
    ]
    assert len({str(f["text"]) for f in found}) == 2
    assert len({f["model"] for f in found}) == 2
    text.write_text("three")
    assert made.to_json() != json.dumps(found[0])
    assert json.loads(made.to_json())["source"]["identity"]["text"] != found[0]["text"]


@pytest.mark.parametrize("text", ["[]", "{", '{"n_embd": "wide", "n_layer": 2}', "\xff"])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin1"))
    hub.facts.cache_clear()
    with pytest.raises(ConfigError) as error:
        config(tmp_path)
    assert error.value.field == "source.model"


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "a/b/c"])
def test_no_such_folder(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(name)
    assert (error.value.field, error.value.value) == ("source.model", name)


def test_a_folder_that_holds_no_language_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        config(tmp_path)
    assert error.value.field == "source.model"
    (tmp_path / "config.json").write_text("{}")
    hub.facts.cache_clear()
    with pytest.raises(ConfigError) as error:
        config(tmp_path)
    assert error.value.field == "source.model"


def test_no_network_and_not_downloaded(tmp_path: Path) -> None:
    code = "from synthsae.config import *; Config(source=SourceConfig(model='gpt2', text='-'))"
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | quiet
    )
    last = out.stderr.strip().splitlines()[-1]
    assert "source.model: 'gpt2'; allowed: with no network, a model that was downloaded" in last
    assert "--model FOLDER" in last


def test_no_network_but_downloaded(language_model: Folders, tmp_path: Path) -> None:
    """Hugging Face's cache, as a download leaves it."""
    repo = tmp_path / "hub/models--someone--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text("0123abcd")
    (repo / "snapshots").mkdir()
    (repo / "snapshots/0123abcd").symlink_to(language_model("llama"))
    code = "from realdata import hub; print(hub.facts('someone/tiny'), hub.weights('someone/tiny'))"
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | quiet
    )
    assert f"Facts(d_model={WIDTH}" in out.stdout, out.stderr
    assert out.stdout.strip().endswith("snapshots/0123abcd")


def test_no_such_device(language_model: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError) as error:
        config(language_model("gpt2"), device="cuda").to_json()
    assert (error.value.field, error.value.value) == ("source.device", "cuda")


@pytest.mark.parametrize(
    ("kind", "words"),
    [(RepositoryNotFoundError, "the name of a model"), (GatedRepoError, "accept its terms")],
)
def test_what_the_hub_answers(monkeypatch: pytest.MonkeyPatch, kind: Any, words: str) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise kind("no", response=httpx.Response(401, request=httpx.Request("GET", "http://hub")))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ConfigError, match=words):
        config(f"someone/{kind.__name__}")


def test_a_hub_model_is_the_folder_of_its_commit(
    language_model: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshots" / "0123abcd"
    snapshot.parent.mkdir()
    snapshot.symlink_to(language_model("gpt2"))
    asked: dict[str, Any] = {}

    def download(name: str, **kwargs: Any) -> str:
        asked.update(kwargs, name=name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (tmp_path / "a.txt").write_text("one")
    made = config("someone/tiny", tmp_path / "a.txt")
    assert made.d_model == WIDTH
    assert json.loads(made.to_json())["source"]["identity"]["model"] == "0123abcd"
    assert asked["name"] == "someone/tiny"
    assert not any("safetensors" in p for p in asked["allow_patterns"])  # no weights were needed
    assert hub.weights("someone/tiny") == snapshot
    assert asked["ignore_patterns"] == ["*/*"]  # other formats lie in folders of their own
    assert not any(p.endswith((".bin", ".pt", "*")) for p in asked["allow_patterns"])


def test_shape_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((300, 5), np.float32))
    source, batch = SourceConfig(arrays=str(tmp_path / "a.npy")), TrainConfig(batch_size=270)
    made = Config(source=source, train=batch, eval_samples=30)
    assert (made.d_model, n_train(made.source), n_eval(made.source)) == (5, 270, 30)
    assert made.training.n_steps == 1


def test_steps_that_passes_decide_cannot_be_set(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((300, 5), np.float32))
    study = replace(load("seed_stability"), axes={}, quick={"train.n_steps": 7})
    source = {"source.arrays": str(tmp_path / "a.npy"), "train.batch_size": 90, "eval_samples": 30}
    for quick in (False, True):
        (cell,) = plan(study, source, quick=quick).cells
        assert cell.config.training.n_steps == 3
    for steps in ("5000", ["5000", "9000"]):
        with pytest.raises(ConfigError) as error:
            plan(study, source | {"train.n_steps": steps})
        allowed = "the 3 of source.passes=1.0, or source.passes=0 beside it"
        assert str(error.value) == f"train.n_steps: {steps!r}; allowed: {allowed}"
    grid = plan(study, source | {"train.n_steps": [5000, 9000], "source.passes": 0})
    assert [c.config.training.n_steps for c in grid.cells] == [5000, 9000]
    both = {"source.arrays": ["", source["source.arrays"]], "train.n_steps": 20}
    grid = plan(study, source | both)  # the world's
    assert [c.config.training.n_steps for c in grid.cells] == [20, 3]


@pytest.mark.parametrize("rows", [2, 3, 10])
def test_some_rows_are_left_to_train_on(tmp_path: Path, rows: int) -> None:
    np.save(tmp_path / "a.npy", np.zeros((rows, 5), np.float32))
    source = SourceConfig(arrays=str(tmp_path / "a.npy"), held_out=0.9)
    assert (n_train(source), n_eval(source)) == (max(1, rows // 10), rows - max(1, rows // 10))


def test_no_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(name: object) -> None:
        raise KeyError(name)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("SYNTHSAE_CACHE", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(ConfigError) as error:
        cache_folder(SourceConfig())
    assert error.value.field == "source.cache"
    assert cache_folder(SourceConfig(cache="here")) == Path("here")
    with pytest.raises(ConfigError) as error:
        n_rows(SourceConfig(arrays="~/a.npy"))
    assert error.value.field == "source.arrays"


def test_more_evaluation_than_the_cut_leaves(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    x[[310, 320]] *= 100
    np.save(tmp_path / "a.npy", x)
    source = {"arrays": str(tmp_path / "a.npy"), "cache": str(tmp_path / "c"), "held_out": 0.25}
    made = Config(source=SourceConfig(**source, passes=0), eval_samples=100)
    with pytest.raises(ConfigError, match="at most 98") as error:
        made.open()
    assert (error.value.field, error.value.value) == ("eval_samples", 100)
    assert override(made, {"eval_samples": 98}).open().n_eval == 98
    assert override(made, {"source.max_norm": 0}).open().n_eval == 100
