"""The walks of CONTRIBUTING.md, run as they stand: the first asserts what p_hat is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
WALKS = TEXT[TEXT.index("## Five walks") : TEXT.index("## Habits")]
BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.S)


RUN = """
import runpy, sys
for command in sys.argv[1:]:
    print("+", command, file=sys.stderr)
    sys.argv = command.split()
    try:
        if sys.argv[0] == "-m":
            sys.argv.pop(0)
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
"""
"""Runs scripts and `-m` commands one after another in one process, to import PyTorch once."""


@pytest.mark.slow
def test_every_walk_runs(tmp_path: Path) -> None:
    files, commands = [], []
    for kind, text in BLOCK.findall(WALKS):
        if kind == "console":
            commands += [line.removeprefix("$ python ") for line in text.splitlines()]
            continue
        name = text.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(text)
        files.append(name)
    assert files == ["where.py", "my_study.py", "my_source.py", "my_architecture.py"]
    assert len(commands) == 2
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", RUN, *files, *commands]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("+ ") == 6, done.stderr


def test_the_files_that_are_named_exist() -> None:
    for name in re.findall(r"`((?:synthsae|realdata|studies|tests|docs)/[\w/.]+)`", TEXT):
        assert "NAME" in name or (ROOT / name).exists(), name
    for name in re.findall(r"`((?:metrics|scores)/\w+\.py|definitions\.py)`", WALKS):
        assert (ROOT / "synthsae" / name).exists(), name
