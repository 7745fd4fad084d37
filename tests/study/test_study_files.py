"""Study files of one's own: any name, any encoding, modules beside them, on workers too."""

import json
import queue
import sys
from pathlib import Path

import pytest
from cluster import TINY
from study_files import ONE, STUDY, run

import synthsae
from synthsae import studies
from synthsae.checks import ConfigError
from synthsae.study import cli, load, plan

SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("json", "dask", "studies", "random")
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["queue", "synthsae", *SLOW])
def test_the_name_of_a_study_hides_no_module(name: str, tmp_path: Path) -> None:
    """In this process, and where the working directory has the file."""
    mine = tmp_path / f"{name}.py"
    mine.write_text(TINY.read_text())
    before = sys.modules.get(name)
    assert load(str(mine)).question == load(str(TINY)).question
    assert sys.modules.get(name) is before
    assert hasattr(queue, "SimpleQueue")
    if name != "synthsae":  # that `python -m` finds there before anything of ours runs
        command = [sys.executable, "-m", "synthsae.study", f"{name}.py", *ONE, "--out", "r"]
        done = run(tmp_path, *command)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_name_of_a_study_on_workers(tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text(f"import helper\n{STUDY.replace('VALUE', 'helper.value')}")
    (tmp_path / "helper.py").write_text("value = 3.0\n")
    command = [sys.executable, "-m", "synthsae.study", "queue.py", "--workers", "1", "--out", "r"]
    done = run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert float(synthsae.open_results("queue", tmp_path / "r").a) == 3


@pytest.mark.slow
def test_a_folder_that_is_called_as_ours(tmp_path: Path) -> None:
    """With and without `__init__.py`: our studies are listed, and run."""
    for package in ("studies", "realdata"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "other.py").write_text("")
    (tmp_path / "studies" / "__init__.py").write_text("")
    done = run(tmp_path, sys.executable, "-m", "synthsae.study", "list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == cli.names()


@pytest.mark.parametrize(
    "head",
    [b"\xef\xbb\xbf", b"# -*- coding: latin-1 -*-\n# caf\xe9\n", b"\r\n\r\n", b"# caf\xc3\xa9\n"],
    ids=["BOM", "latin-1", "CRLF", "UTF-8"],
)
def test_any_encoding_that_python_reads(head: bytes, tmp_path: Path) -> None:
    mine = tmp_path / "tiny.py"
    mine.write_bytes(head + TINY.read_bytes())
    assert len(plan(load(str(mine)), {}).cells) == 24


def test_the_hash_of_a_cell_is_that_of_the_text_wherever_the_file_is(tmp_path: Path) -> None:
    """And with a BOM, and of the name of the file."""
    found = []
    for folder, head in (("a", b""), ("b", b""), ("c", b"\xef\xbb\xbf")):
        mine = tmp_path / folder / "mine.py"
        mine.parent.mkdir()
        mine.write_bytes(head + STUDY.replace("VALUE", "1.0").encode())
        found.append(plan(load(str(mine)), {}).cells[0].keys())
    assert found[0] == found[1] == found[2]
    assert list(found[0]) == ["mine.score"]


def test_a_module_beside_a_study(tmp_path: Path) -> None:
    """It is found, hides nothing, is read again when it changes, and is part of the hash."""
    mine = tmp_path / "mine.py"
    mine.write_text(f"import helper_of_mine\n{STUDY.replace('VALUE', 'helper_of_mine.value()')}")
    (tmp_path / "json.py").write_text("raise RuntimeError\n")
    digests = []
    for value in ("1.0", "2.00"):  # of other lengths: Python's own cache looks at that
        (tmp_path / "helper_of_mine.py").write_text(f"def value():\n    return {value}\n")
        study = load(str(mine))
        assert load(str(mine)) is study
        assert cli.main([str(mine), "--out", str(tmp_path / "r")]) == 0
        assert float(synthsae.open_results("mine", tmp_path / "r").a) == float(value)
        digests.append(plan(study, {}).cells[0].keys())
    assert digests[0] != digests[1]
    assert json.loads("1") == 1


def test_two_studies_whose_helpers_have_one_name(tmp_path: Path) -> None:
    questions = []
    for folder in ("a", "b", "a"):
        mine = tmp_path / folder / "mine.py"
        mine.parent.mkdir(exist_ok=True)
        (mine.parent / "both_have_it.py").write_text(f"said = '{folder}'\n")
        study = STUDY.replace("VALUE", "0.0").replace('"?"', "both_have_it.said")
        mine.write_text(f"import both_have_it\n{study}")
        questions.append(load(str(mine)).question)
    assert questions[:2] == ["a", "b"]
    assert questions[2] == "a"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\nstudy = (", 2),
        ("x = 1\n\n1 / 0", 3),
        ("def f():\n    import nosuchmodule\nf()", 2),
        ("import sys\nsys.exit(0)", 2),
        ("import numpy\nnumpy.zeros(-1)", 2),
        ("from .helper import x", 1),
    ],
)
def test_a_study_that_cannot_be_run_is_named_with_file_and_line(
    text: str, line: int, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(str(mine))
    assert f"{mine}:{line})" in error.value.allowed
    assert error.value.value == str(mine)
    mine.write_text(STUDY.replace("VALUE", "1.0"))
    assert load(str(mine)).question == "?"


def test_our_studies_are_found_beside_the_package() -> None:
    assert all((studies.FOLDER / name / "study.py").is_file() for name in cli.names())
    assert "__init__" not in cli.names()
    assert {"rank_sweep", "consensus", "time_to_identify"} <= set(cli.names())


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    for source in (str(tmp_path / "mine.py"), str(tmp_path), "rank_sweep.txt", ""):
        with pytest.raises(ConfigError) as error:
            load(source)
        assert error.value.field == "study"


@pytest.mark.parametrize("name", ["rank_sweep", "pooling"])
def test_a_copy_of_a_study_of_ours_is_a_study(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_bytes((studies.FOLDER / name / "study.py").read_bytes())
    assert load(str(copy)).scores == load(name).scores
