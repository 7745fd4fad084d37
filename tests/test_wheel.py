"""The wheel works in any folder, whatever that contains."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import synthsae

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a fresh environment that has the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "-q", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder / "bin"


def run(commands: Path, cwd: Path, *command: str) -> str:
    """The output, with the libraries of this environment but without what is installed from here:
    a folder of PYTHONPATH is searched without its .pth files.
    """
    env = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run(
        [str(commands / command[0]), *command[1:]], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_the_wheel(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "synthsae",
        "realdata",
    }
    own = ("synthsae/studies/rank_sweep/study.py", "synthsae/studies/variant_sweep/table.json")
    for name in (*own, "synthsae/py.typed", "synthsae/study/CLUSTER.md"):
        assert name in names
    assert not [name for name in names if name.endswith(".png")]


def test_the_command_in_a_folder_with_other_packages(commands: Path, tmp_path: Path) -> None:
    for package in ("studies", "realdata", "scores"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('not this one')\n")
    assert run(commands, tmp_path, "synthsae", "list").count("?\n") >= 19
    assert run(commands, tmp_path, "python", "-m", "synthsae.study", "list").count("?\n") >= 19
    version = run(commands, tmp_path, "synthsae", "--version")
    assert version == f"synthsae {synthsae.__version__}\n"
    where = "import synthsae, synthsae.studies as s; print(synthsae.__file__, s.FOLDER)"
    for path in run(commands, tmp_path, "python", "-P", "-c", where).split():
        assert path.startswith(str(commands.parent))


def test_the_help_of_every_command(commands: Path, tmp_path: Path) -> None:
    assert "compare SAE" in run(commands, tmp_path, "synthsae")
    assert "world.rank" in run(commands, tmp_path, "synthsae", "run", "rank_sweep", "--help")
    assert "--theta" in run(commands, tmp_path, "synthsae", "compare", "--help")
