"""Old names still work, and say what they are called now."""

import importlib
import subprocess
import sys

import pytest
import torch

import synthsae.config
from synthsae.config import Config, digest, override
from synthsae.deprecated import MODULES, MOVED, OPTIONS, STEP
from synthsae.sae import SAEConfig, Step
from synthsae.study import Study, load, plan


@pytest.mark.parametrize("old", MODULES)
def test_an_old_module_has_the_names_of_the_new_one(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MODULES[old]}"):
        module = importlib.import_module(old)
    new = importlib.import_module(MODULES[old])
    for name in (n for n in vars(new) if not n.startswith("_")):
        if (old, name) not in MOVED:
            assert getattr(module, name) is getattr(new, name)


def test_names_that_went_elsewhere_are_found() -> None:
    for (old, name), new in MOVED.items():
        home, _, attribute = new.partition(":")
        found = getattr(importlib.import_module(old), name)
        assert found is getattr(importlib.import_module(home), attribute)


def test_an_old_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError):
        importlib.import_module("synthsae.measures").nothing  # noqa: B018


def test_a_study_takes_its_scores_as_measures() -> None:
    known = load("rank_sweep")
    fields = ("question", "base", "axes", "figure", "finding")
    with pytest.warns(DeprecationWarning, match="Study.measures=.* is now scores="):
        study = Study(measures=known.scores, **{name: getattr(known, name) for name in fields})
    assert study.scores == known.scores
    with pytest.warns(DeprecationWarning, match="Study.measures is now scores"):
        assert study.measures == known.scores  # type: ignore[attr-defined]


def test_the_config_of_a_source_is_found_where_it_was() -> None:
    with pytest.warns(DeprecationWarning, match=r"realdata\.config\.SourceConfig is now synthsae"):
        from realdata.config import SourceConfig
    assert SourceConfig is synthsae.config.SourceConfig


def test_a_script_of_the_first_edition_runs_and_is_warned() -> None:
    script = "from synthsae import measures; from synthsae.results import Run; measures.pools"
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", script]
    assert "DeprecationWarning" in subprocess.run(command, capture_output=True, text=True).stderr
    assert subprocess.run([*command[:1], *command[3:]], check=True).returncode == 0


def test_options_of_architectures_are_taken_as_fields() -> None:
    with pytest.warns(DeprecationWarning, match=r"SAEConfig\(kron_m=\.\.\.\) is now options\.m"):
        kron = SAEConfig("kron", 16, kron_heads=2, kron_m=4, kron_n=None)  # type: ignore[call-arg]
    assert kron == SAEConfig("kron", 16, options={"heads": 2, "m": 4})
    with pytest.warns(DeprecationWarning, match=r"SAEConfig\.kron_m is now options\.m"):
        assert kron.kron_m == 4
    with pytest.warns(DeprecationWarning, match="topk lacks and ignores"):
        assert SAEConfig(kron_m=4) == SAEConfig()  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match=r"options\.coefficient"):
        assert SAEConfig().coefficient is None


@pytest.mark.parametrize("name", OPTIONS)
def test_options_keep_their_old_dotted_names(name: str) -> None:
    arch = {"c": "relu", "m": "matryoshka", "k": "kron"}[name[0]]
    new = f"sae.options.{OPTIONS[name]}"
    with pytest.warns(DeprecationWarning, match=f"sae.{name} is now {new}"):
        config = override(Config(), {f"sae.{name}": "2", "sae.arch": arch})
    assert config == override(Config(), {new: "2", "sae.arch": arch})
    with pytest.warns(DeprecationWarning, match=f"SAEConfig.{name} is now"):
        assert config.get(f"sae.{name}") == 2


def test_an_old_dotted_name_is_still_an_axis() -> None:
    changes = {"sae.arch": "kron", "sae.kron_heads": [2, 4], "world.rank": 4}
    with pytest.warns(DeprecationWarning, match=r"sae\.kron_heads is now"):
        assert plan(load("rank_sweep"), changes, quick=True).axes["kron_heads"] == [2, 4]


def test_hashes_of_configs_are_those_of_the_first_edition() -> None:
    """`--accept-stale` finds the trainings of an earlier version by them."""
    kron = override(Config(), {"sae.arch": "kron", "sae.options.heads": 2})
    assert digest(Config().hashed) == "6003759a49b69883"
    assert [digest(kron.hashed), digest(kron.trained_by)] == [
        "744e409b1c3ebb99",
        "d5620f74efede8fe",
    ]


def test_a_step_shows_its_fields_under_old_names() -> None:
    step = Step(torch.zeros(1, 2), 0.5, 0.25, True, 0.125, 7)
    for old, new in STEP.items():
        with pytest.warns(DeprecationWarning, match=f"Step.{old} is now {new}"):
            assert getattr(step, old) == getattr(step, new)
