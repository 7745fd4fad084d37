"""The command `synthsae`: it finds the others, and names the nearest to what is misspelt."""

import json
import subprocess
import sys

import pytest

import synthsae
from synthsae.__main__ import main


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "synthsae", *arguments], capture_output=True, text=True
    )


def test_usage_and_version() -> None:
    assert command().stdout == command("--help").stdout != ""
    assert command("--version").stdout == f"synthsae {synthsae.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "start", "nearest"),
    [
        (["lst"], "synthsae: 'lst'; allowed: ", "did you mean list?"),
        (["run", "rank_sweeb"], "synthsae run: study: 'rank_sweeb'; ", "did you mean rank_sweep?"),
        (["run", "rank_sweep", "--qick"], "synthsae run: ", "did you mean --quick?"),
    ],
)
def test_what_is_misspelt(
    arguments: list[str],
    start: str,
    nearest: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "argv", ["synthsae", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(start)
    assert err.rstrip().endswith(nearest)
    assert err.count("\n") == 1


def test_doctor() -> None:
    done = command("doctor")
    assert done.returncode == 0
    assert done.stderr == ""
    *_, start, block, end = lines = done.stdout.splitlines()
    assert len(lines) <= 25
    assert (start, end) == ("```json", "```")
    assert json.loads(block)["versions"]["synthsae"] == synthsae.__version__
    wrong = command("doctor", "gpu")
    assert wrong.returncode == 2
    assert wrong.stderr == "synthsae doctor: 'gpu'; allowed: --help\n"


def test_results_of_no_folder() -> None:
    done = command("results", "--out", "none")
    assert done.returncode == 2
    assert done.stderr.startswith("synthsae results: ")
