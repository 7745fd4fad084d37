"""A harvest is made once, whole or not at all, and read back as the model had it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from language_models import save, save_letters

from realdata import cache
from realdata import harvest as harvesting
from realdata.activations import Activations
from realdata.cache import Folder
from realdata.harvest import harvest
from realdata.model import LanguageModel
from synthsae.checks import ConfigError
from synthsae.config import Config
from synthsae.config.sources import SourceConfig
from synthsae.sae import SAEConfig
from synthsae.train import TrainConfig, train

Folders = Callable[[str], Path]
Make = Callable[..., SourceConfig]


@pytest.fixture
def make(language_model: Folders, stories: Path, tmp_path: Path) -> Iterator[Make]:
    def made(kind: str = "gpt2", **fields: Any) -> SourceConfig:
        there = {"layer": 1, "context": 16, "tokens": 2000, "held_out": 0.25, "batch": 4}
        there |= {"cache": str(tmp_path / "cache"), "device": "cpu"}
        there |= {"text": str(stories)} | fields
        return SourceConfig(model=str(language_model(kind)), **there)

    return made


def contents(path: Path) -> dict[str, bytes]:
    kinds = ("train-*", "eval-*", "identity.json", "statistics*")
    return {p.name: p.read_bytes() for kind in kinds for p in path.glob(kind)}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("skip", [True, False])
def test_rows_are_what_the_model_has(make: Make, dtype: str, skip: bool) -> None:
    source = make(dtype=dtype, skip_bos=skip, max_norm=0.0, center=False, scale=False)
    found, model = Activations.open(source), LanguageModel(source)
    assert (found.n_train, found.n_eval) == (1500, 500)
    for stream, n in (("data", 1500), ("eval", 500)):
        rows = np.arange(n)
        contexts = torch.from_numpy(np.array(found.contexts(stream)))
        x = torch.cat([model.activations(c) for c in contexts.split(4)]).float()
        context, position = found.places(rows, stream)
        assert torch.equal(found.read(rows, stream), x[context, position])
        assert np.array_equal(found.tokens(rows, stream), contexts[context, position])
        assert (contexts[:, 0] == model.bos).all()
        wanted = ((contexts != model.bos) | (not skip)).flatten().nonzero().ravel()
        assert np.array_equal(context * 16 + position, wanted[:n])


def test_documents_of_evaluation_are_not_trained_on(make: Make) -> None:
    found = Activations.open(make())
    seen, held = (
        {tuple(c[i : i + 8]) for c in found.contexts(stream) for i in range(1, 9)}
        for stream in ("data", "eval")
    )
    assert len(held) > 200
    assert not seen & held  # words are drawn at random: the same eight in a row come once


def test_harvest_then_train_is_train_from_arrays(make: Make, tmp_path: Path) -> None:
    source = make(max_norm=0.0)
    harvested = Activations.open(source)
    raw = [harvested.splits[split].rows.read(np.arange(n)) for split, n in _sizes(harvested)]
    np.save(tmp_path / "x.npy", np.concatenate(raw))
    arrays = Activations.open(
        SourceConfig(
            arrays=str(tmp_path / "x.npy"), held_out=0.25, max_norm=0.0, cache=source.cache
        )
    )
    how = SAEConfig(n_latents=32, k=4), TrainConfig(n_steps=30, batch_size=64, device="cpu")
    a, b = (train(x, *how, seeds=(0, 1, 2)).stack.params for x in (harvested, arrays))
    assert all(torch.equal(a[name], b[name]) for name in a)


def _sizes(found: Activations) -> list[tuple[str, int]]:
    return [("train", found.n_train), ("eval", found.n_eval)]


def test_a_cell_trains_on_a_model(make: Make) -> None:
    from synthsae.scores.run import run_cell

    config = Config(
        source=make(passes=8.0),
        sae=SAEConfig(n_latents=32, k=4),
        train=TrainConfig(batch_size=100, device="cpu", lr=0.01),
        n_seeds=2,
        eval_samples=400,
    )
    assert config.training.n_steps == 120
    run = run_cell(config)
    assert not run.planted
    assert (run.evaluation.explained_variance > 0.2).all()


def test_it_is_made_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    before = harvest(make())
    monkeypatch.setattr(harvesting, "LanguageModel", None)  # it is not loaded again
    after = harvest(make(max_norm=3.0, center=False))
    assert after.path == before.path
    with pytest.raises(TypeError):
        harvest(make(layer=2))


@pytest.mark.parametrize(
    "fields",
    [
        {"layer": 2},
        {"hook": "mlp_out"},
        {"context": 8},
        {"tokens": 1000},
        {"skip_bos": False},
        {"held_out": 0.5},
        {"special_tokens": "parse"},
        {"batch": 8},
        {"threads": 2},
        {"dtype": "bfloat16"},
        {"kind": "llama"},
        {"column": "other"},
    ],
    ids=str,
)
def test_what_changes_a_harvest_changes_its_folder(make: Make, fields: dict[str, Any]) -> None:
    assert Folder(make()).path != Folder(make(**fields)).path


SCRIPT = """
import os, signal, sys
from realdata import cache, harvest
from synthsae.config.sources import SourceConfig
harvest.SHARD_BYTES = 4096
fields, n_files = eval(sys.argv[1])
write = cache.files.write

def counted(*what):
    global n_files
    write(*what)
    n_files -= 1
    if n_files == 0:
        os.kill(os.getpid(), signal.SIGKILL)

cache.files.write = counted
harvest.harvest(SourceConfig(**fields))
"""
"""A harvest that is killed by a signal once `n_files` are written; 0: never."""


def harvester(source: SourceConfig, n_files: int = 0) -> "subprocess.Popen[str]":
    asked = repr((asdict(source), n_files))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, asked], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_killed_and_resumed(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 at three moments, then the same command: the bits of an undisturbed harvest."""
    source = make(tokens=2400)
    for n_files, there in (
        (3, 3),
        (5, 6),
        (6, 12),
    ):  # token ids are made again unless all are there
        with harvester(source, n_files) as process:
            told = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, told
        assert len(_files(source)) == there
        assert Folder(source).manifest() is None
    kept = {p: p.stat().st_mtime_ns for p in _files(source) if "-0" in p.name}
    assert kept
    monkeypatch.setattr(harvesting, "SHARD_BYTES", 4096)
    resumed = harvest(source)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert not list(resumed.path.glob(".*.part"))
    whole = harvest(make(tokens=2400, cache=str(tmp_path / "other")))
    assert contents(resumed.path) == contents(whole.path)
    assert len(contents(whole.path)) > 20


def _files(source: SourceConfig) -> list[Path]:
    return [p for p in Path(source.cache).glob("*/*") if not p.name.startswith(".")]


@pytest.mark.slow
def test_two_at_once(make: Make) -> None:
    both = [harvester(make()) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("harvest: 2,000 activations" in text for text in told) == 1
    assert Folder(make()).manifest() is not None


def test_a_damaged_shard_is_harvested_again(
    make: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvesting, "SHARD_BYTES", 4096)
    path = harvest(make()).path
    before = contents(path)
    shards = sorted(path.glob("train-0*"))
    shards[3].write_bytes(shards[3].read_bytes()[:-100])
    shards[5].unlink()
    harvest(make())
    assert contents(path) == before
    told = capsys.readouterr().err
    damaged = [line for line in told.splitlines() if line.startswith("damaged")]
    assert any(line.endswith(str(path)) for line in damaged)
    assert any(line.endswith(str(shards[3])) for line in damaged)


def test_a_foreign_folder(make: Make) -> None:
    path = Folder(make()).path
    (path / "identity.json").write_text("{}")
    with pytest.raises(ConfigError) as error:
        harvest(make())
    assert (error.value.field, error.value.value) == ("source.cache", str(path))
    (path / "identity.json").rename(path / "mine.txt")
    with pytest.raises(ConfigError) as error:
        harvest(make())
    assert (error.value.field, error.value.value) == ("source.cache", str(path))
    assert (path / "mine.txt").read_text() == "{}"


def test_the_size_limit(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as error:
        harvest(make(cache_limit=1e-5))
    assert (error.value.field, error.value.value) == ("source.cache_limit", 1e-5)
    folder = harvest(make())
    assert "2,000 activations of" in capsys.readouterr().err
    taken = sum(p.stat().st_size for p in folder.path.glob("*-*"))
    assert taken < 2000 * (16 * 4 + 16) * 1.1  # what was said


def test_a_disk_without_room(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")(1, 1, 1)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ConfigError) as error:
        harvest(make())
    assert error.value.field == "source.cache"
    assert "GiB" in error.value.allowed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite(
    make: Make, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    right = LanguageModel.activations

    def wrong(self: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
        x = right(self, tokens).clone()
        x[2, 5, 1] = x[2, 6, 0] = value
        return x

    monkeypatch.setattr(LanguageModel, "activations", wrong)
    words = r"finite activations; 2 of \d+ are not, the first at position 5 of train context 2"
    with pytest.raises(ConfigError, match=words):
        harvest(make(skip_bos=False))


def letters(folder: Path, special: list[str], **declared: str) -> Path:
    save("llama", folder, vocabulary=100)
    save_letters(folder, special, **declared)
    return folder


def manifest(source: SourceConfig) -> dict[str, Any]:
    found = harvest(source).manifest()
    assert found is not None
    return found


def test_unknown_characters_are_rows(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tokenizer without BOS: a sixth of the text is unknown, and a sixth of the rows."""
    model = letters(tmp_path / "model", ["<unk>"])
    text = tmp_path / "a.txt"
    text.write_text("abc é def ü \n\n" * 100)
    source = make(text=str(text), tokens=600)
    source = replace(source, model=str(model))
    found = Activations.open(source)
    tokens = np.concatenate([found.contexts(stream).ravel() for stream in ("data", "eval")])
    document = [ord(c) - 31 if c.isascii() and c != "\n" else 0 for c in "abc é def ü "] + [96]
    data = found.contexts("data").ravel()
    assert data[:26].tolist() == document * 2  # and nothing between documents
    rows = found.tokens(np.arange(found.n_train), "data")
    assert np.array_equal(rows, data[: len(rows)])
    about = found.manifest["text"]
    assert about["unknown_share"] == pytest.approx((tokens == 0).mean())
    assert (about["bos"], about["held_out"]) == (None, "documents")
    told = capsys.readouterr().err
    assert "no BOS and no EOS" in told
    assert "% of the tokens are unknown" in told


@pytest.mark.parametrize("skip", [True, False])
def test_only_the_bos_that_was_put_is_skipped(make: Make, tmp_path: Path, skip: bool) -> None:
    model = letters(tmp_path / "model", ["<unk>", "<s>"], bos_token="<s>")
    text = tmp_path / "a.txt"
    text.write_text("ab<s>cde\n\n" * 100)
    source = replace(
        make(text=str(text), tokens=300, skip_bos=skip, special_tokens="parse"), model=str(model)
    )
    found = Activations.open(source)
    contexts = found.contexts("data")
    assert (contexts[:, 0] == 1).all()
    rows = found.tokens(np.arange(found.n_train), "data")
    assert (rows == 1).mean() == pytest.approx(
        (1 if skip else 2.6) / (7 if skip else 8.6), abs=0.05
    )
    assert found.manifest["text"]["spelled_out"] >= 300 // 7
    assert found.manifest["text"]["special_tokens"] == "parse"


def test_bad_rows_are_recorded(
    make: Make, tmp_path: Path, stories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = stories.read_text().splitlines()
    text = tmp_path / "a.jsonl"
    text.write_text("\n".join([*good[:3], '{"text": "\\ud83d"}', "{", "", *good[3:]]))
    about = manifest(make(text=str(text)))["text"]
    assert about["left_out"] == {"lone surrogate": 1, "broken JSON": 1}
    assert about["examples"] == ["row 4: lone surrogate", "row 5: broken JSON"]
    assert about["documents"] + 2 == about["rows"]
    told = [line for line in capsys.readouterr().err.splitlines() if "text: 2 of" in line]
    assert len(told) == 1
    assert "row 4: lone surrogate; row 5: broken JSON" in told[0]
    whole, without = harvest(make()), harvest(make(text=str(text)))
    for split in ("train", "eval"):
        assert np.array_equal(*(f.load(f"{split}-tokens.npy") for f in (whole, without)))


def test_nine_documents(make: Make, tmp_path: Path, stories: Path) -> None:
    text = tmp_path / "a.jsonl"
    words = [json.loads(line)["text"] for line in stories.read_text().splitlines()]
    text.write_text("".join(json.dumps({"text": " ".join(words)}) + "\n" for _ in range(9)))
    source = make(text=str(text), held_out=0.1)
    assert manifest(source)["text"]["held_out"] == "last documents"
    found = Activations.open(source)
    assert (found.n_train, found.n_eval) == (1800, 200)


def test_a_model_that_sees_what_comes(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manifest(make())["causal"]
    assert "not causal" not in capsys.readouterr().err
    more = {"head_dim": 8, "num_key_value_heads": 1, "use_bidirectional_attention": True}
    model = save("gemma3_text", tmp_path / "model", **more)
    assert not manifest(replace(make(), model=str(model)))["causal"]
    assert "not causal" in capsys.readouterr().err


def test_text_shorter_than_a_context(make: Make, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("w1 w2 w3")
    with pytest.raises(ConfigError) as error:
        harvest(make(text=str(tmp_path / "a.txt")))
    assert error.value.field == "source.text"
