"""Old names still work, and say what they are called now."""

import importlib
import subprocess
import sys

import pytest

import synthsae.config
from synthsae.deprecated import MODULES, MOVED
from synthsae.study import Study, load


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
