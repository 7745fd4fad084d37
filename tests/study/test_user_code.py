"""Scores, sources and architectures of one's own: what is wrong with them is one line."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from study_files import STUDY
from torch import Tensor

import synthsae
from synthsae.checks import ConfigError
from synthsae.evaluation import evaluate
from synthsae.sae import SAEConfig, SAEStack, base
from synthsae.scores.run import run_cell
from synthsae.study import cli, load, plan
from synthsae.train import TrainConfig, train
from synthsae.user_code import import_file, in_a_line, place

D = 8
QUICK = TrainConfig(n_steps=3, batch_size=16, device="cpu")


class Source:
    """Noise, with one fault: what `harm` makes of a batch."""

    d_model: Any = D

    def __init__(self, harm: Callable[[Tensor], Any] = lambda x: x, stream: str = "data"):
        self.harm, self.stream = harm, stream

    def batch(
        self, t: int, size: int, *, seed: int, stream: str = "data", device: Any = "cpu"
    ) -> Any:
        x = torch.randn(size, D, generator=torch.Generator().manual_seed(t + 1000 * seed))
        return self.harm(x) if stream == self.stream else x


FAULTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "float64": (lambda x: x.double(), "torch.float64 [16, 8] on cpu"),
    "half": (lambda x: x.bfloat16(), "torch.bfloat16 [16, 8] on cpu"),
    "integers": (lambda x: x.int(), "torch.int32 [16, 8] on cpu"),
    "width": (lambda x: x[:, :4], "torch.float32 [16, 4] on cpu"),
    "one column": (lambda x: x[:, :1], "torch.float32 [16, 1] on cpu"),
    "fewer rows": (lambda x: x[:5], "torch.float32 [5, 8] on cpu"),
    "one row": (lambda x: x[0], "torch.float32 [8] on cpu"),
    "turned": (lambda x: x.T, "torch.float32 [8, 16] on cpu"),
    "device": (lambda x: x.to("meta"), "torch.float32 [16, 8] on meta"),
    "NumPy": (lambda x: x.numpy(), "ndarray"),
    "list": (lambda x: x.tolist(), "list"),
    "nothing": (lambda x: None, "NoneType"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_batch_that_is_not_what_was_asked_for(fault: str) -> None:
    """The line names the class, what it returned, and what is wanted."""
    harm, found = FAULTS[fault]
    with pytest.raises(ConfigError) as error:
        train(Source(harm), SAEConfig(k=2), QUICK, seeds=[0, 1])
    assert error.value.field == "Source.batch"
    assert error.value.value == found
    assert "torch.float32 [16, 8] on cpu" in error.value.allowed
    stack = SAEStack.init(SAEConfig(k=2), D, [0])
    with pytest.raises(ConfigError) as error:
        evaluate(stack, Source(harm, "eval"), 100)
    assert error.value.field == "Source.batch"
    assert "torch.float32 [4096, 8] on cpu" in error.value.allowed


def test_a_batch_with_a_graph_is_taken_without_it() -> None:
    seeds: Any = {"seeds": [0, 1]}
    plain = train(Source(), SAEConfig(k=2), QUICK, **seeds)
    graph = train(Source(lambda x: x.requires_grad_() * 1), SAEConfig(k=2), QUICK, **seeds)
    for name, p in graph.stack.params.items():
        assert not p.requires_grad
        assert torch.equal(p, plain.stack.params[name])


@pytest.mark.parametrize("d_model", [8.0, None, "8", 0, lambda: 8])
def test_what_is_no_source(d_model: Any) -> None:
    source = Source()
    source.d_model = d_model
    with pytest.raises(ConfigError) as error:
        train(source, SAEConfig(k=2), QUICK, seeds=[0])
    assert error.value.field == "source"
    assert "Source" in error.value.value


def test_a_training_of_which_nothing_is_left_is_an_error() -> None:
    """It names the seeds, the step, and whether the data are to blame."""
    with pytest.raises(FloatingPointError) as error:
        train(Source(lambda x: x * np.nan), SAEConfig(k=2), QUICK, seeds=[5, 7])
    assert "{5: 0, 7: 0}" in str(error.value)
    assert "source" in str(error.value)
    huge = Source(lambda x: x * 1e25)  # finite, and no square of it is
    with pytest.raises(FloatingPointError) as error:
        train(huge, SAEConfig(k=2), QUICK, seeds=[5, 7])
    assert "{5: 0, 7: 0}" in str(error.value)
    assert "source" not in str(error.value)


def test_held_out_samples_that_are_not_finite() -> None:
    stack = SAEStack.init(SAEConfig(k=2), D, [0])
    for value in (np.nan, np.inf):
        with pytest.raises(ConfigError) as error:
            evaluate(stack, Source(lambda x, v=value: x * v, "eval"), 100)  # type: ignore[misc]
        assert error.value.field == "Source.batch"


@pytest.fixture
def score(tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable[[str], tuple[int, str]]:
    """The status and the line of a study whose score has this body."""

    def call(body: str) -> tuple[int, str]:
        text = STUDY.replace('    return xr.Dataset({"a": VALUE})', f"    {body}")
        (tmp_path / "mine.py").write_text(text)
        status = cli.main([str(tmp_path / "mine.py"), "--out", str(tmp_path / "r")])
        said = capsys.readouterr()
        assert not said.err or "Traceback" not in said.err
        lines = [line for line in said.out.splitlines() if line.startswith("failed: ")]
        return status, lines[0] if lines else ""

    return call


LINE = STUDY[: STUDY.index('    return xr.Dataset({"a"')].count("\n") + 1


@pytest.mark.parametrize(
    "body",
    [
        "return 1 / 0",
        "raise KeyError('x')",
        "return run.no_such_thing",
        "return run.stack.encode(3)",
    ],
)
def test_a_score_that_fails_has_file_and_line(
    body: str, score: Callable[[str], tuple[int, str]], tmp_path: Path
) -> None:
    status, line = score(body)
    assert status == 1
    assert line.endswith(f"({tmp_path / 'mine.py'}:{LINE})")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("return None", "NoneType"),
        ("return 1.0", "float"),
        ("return xr.DataArray([1.0])", "DataArray"),
        ("return xr.Dataset({'a': ('seed', [1.0])})", "seed: 1 of them"),
        ("return xr.Dataset({'a': ('seed', [1.0, 2.0])}, {'seed': [4, 5]})", "seed: [4, 5]"),
        ("return xr.Dataset({'a': ('x', [object()])})", "a"),
        ("return xr.Dataset({'a': 1j})", "a"),
        ("return xr.Dataset({'a/b': 1.0})", "a/b"),
        ("return xr.Dataset({3: 1.0})", "3"),
        ("return xr.Dataset({'a': ((), 1.0, {'units': None})})", "a.units: None"),
    ],
)
def test_a_score_that_returns_what_cannot_be_kept(
    body: str, found: str, score: Callable[[str], tuple[int, str]], tmp_path: Path
) -> None:
    """The line names the score, its place, and what it returned."""
    status, line = score(body)
    assert status == 1
    assert line.startswith(f"failed: score score ({tmp_path / 'mine.py'}:{LINE - 1}): ")
    assert found in line


def test_seeds_without_labels_get_them(
    score: Callable[[str], tuple[int, str]], tmp_path: Path
) -> None:
    assert score("return xr.Dataset({'a': ('seed', [1.0, 2.0])})") == (0, "")
    ds = synthsae.open_results("mine", tmp_path / "r")
    assert (ds.seed.values.tolist(), ds.a.values.tolist()) == ([0, 1], [1.0, 2.0])


def test_two_scores_of_one_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = STUDY.replace("VALUE", "1.0").replace("(score,)", "(score, other)")
    other = 'def other(run):\n    return xr.Dataset({"a": 2.0})\nworld ='
    (tmp_path / "mine.py").write_text(text.replace("world =", other, 1))
    assert cli.main([str(tmp_path / "mine.py"), "--out", str(tmp_path / "r")]) == 1
    assert re.search(r"failed: score other \(.*mine\.py:\d+\): 'a'", capsys.readouterr().out)


def test_a_score_that_has_the_name_of_an_axis(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Seen when the cells are joined; they are kept."""
    text = STUDY.replace('"a"', '"noise"').replace("VALUE", "('seed', [1.0, 2.0])")
    (tmp_path / "mine.py").write_text(text)
    options = ["--set", "world.noise=0,0.1", "--out", str(tmp_path / "r")]
    assert cli.main([str(tmp_path / "mine.py"), *options]) == 2
    assert "synthsae.study: scores: 'mine'" in capsys.readouterr().err


def test_a_cell_of_which_no_seed_is_left_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text(STUDY.replace("VALUE", "1.0"))
    options = ["--set", "world.block_scale=1e30", "--out", str(tmp_path / "r")]
    assert cli.main([str(tmp_path / "mine.py"), *options]) == 1
    assert "{0: 0, 1: 0}" in capsys.readouterr().out  # the step, by seed
    assert not list(tmp_path.rglob("*.cell"))


def test_the_place_is_that_of_the_users_code() -> None:
    """Of an error deep in a library; not of one that we raise on purpose."""
    with pytest.raises(np.linalg.LinAlgError) as singular:
        np.linalg.inv(np.zeros((2, 2)))
    assert place(singular.value).startswith(f"{__file__}:")
    assert in_a_line(singular.value).startswith("LinAlgError: Singular matrix (")
    with pytest.raises(ValueError) as bad:  # noqa: PT011 of a library
        json.loads("{\n")
    assert place(bad.value).startswith(f"{__file__}:")
    assert "\n" not in in_a_line(bad.value)


def test_what_a_training_leaves_is_shown_in_a_line() -> None:
    trained = train(Source(), SAEConfig(k=2), QUICK, seeds=range(30))
    for shown in (trained, trained.stack):
        assert len(repr(shown)) < 200
    grid = plan(load("rank_sweep"), {}, quick=True)
    assert len(repr(grid)) < 200
    assert str(len(grid.cells)) in repr(grid)
    config = plan(load("song_toy"), {"train.n_steps": 2, "eval_samples": 99}).cells[0].config
    assert len(repr(run_cell(config))) < 300


ARCH = """
from synthsae.sae import ARCHITECTURES
from synthsae.sae.topk import TopK


class Mine(TopK):
    pass


ARCHITECTURES["mine"] = Mine
"""


def test_saes_of_an_architecture_that_is_not_registered(
    tmp_path: Path,
) -> None:
    """The message names the file to import; after that they load."""
    (tmp_path / "mine.py").write_text(ARCH)
    import_file(tmp_path / "mine.py")
    try:
        stack = SAEStack.init(SAEConfig(arch="mine", k=2), D, [0, 1])
        stack.save(tmp_path / "sae.safetensors")
        made = base.ARCHITECTURES.pop("mine")
        with pytest.raises(ConfigError) as error:
            SAEStack.load(tmp_path / "sae.safetensors")
        assert (error.value.field, error.value.value) == ("sae.arch", "mine")
        assert f"import {tmp_path / 'mine.py'} first" in error.value.allowed
        base.ARCHITECTURES["mine"] = made
        assert SAEStack.load(tmp_path / "sae.safetensors").config == stack.config
    finally:
        base.ARCHITECTURES.pop("mine", None)


def test_our_own_architectures_record_no_file(tmp_path: Path) -> None:
    SAEStack.init(SAEConfig(k=2), D, [0]).save(tmp_path / "sae.safetensors")
    with safe_open(tmp_path / "sae.safetensors", framework="pt") as f:
        assert set(f.metadata()) == {"config", "seeds"}
