"""Imports point down only, no circles, nothing imports a study, and the heavy ones are lazy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import permutations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {
        "arrays",
        "checks",
        "definitions",
        "deprecated",
        "entry",
        "files",
        "geometry",
        "gpu",
        "guard",
        "machine",
        "progress",
        "provenance",
        "rng",
        "studies",
        "user_code",
    },
    {"world", "sae", "metrics", "theory", "stats"},
    {"train"},
    {"config", "estimator", "evaluation", "seeds"},
    {"scores", "plot"},
    {"dictionaries"},
    {"reports"},
    {"study", "doctor"},
    {"__init__", "__main__"},
]
"""From the ground up; rooms of one floor may import each other unless they are in `APART`."""
APART = set(permutations(["world", "sae", "metrics", "theory", "stats"], 2))
APART |= {(part, "definitions") for part in ("world", "sae", "train")}
APART |= {("train", part) for part in ("metrics", "world", "theory", "stats")}
APART |= {("plot", "scores"), ("scores", "plot"), ("scores", "studies"), ("plot", "studies")}
HEIGHT = {room: i for i, floor in enumerate(FLOORS) for room in floor}


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): path
    for folder in ("synthsae", "realdata")
    for path in (ROOT / folder).rglob("*.py")
}


def imported(path: Path) -> Iterator[str]:
    """What a module imports, inside functions too, but for type checkers."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_every_room_has_a_floor() -> None:
    rooms = {room(module) for module in MODULES if module.startswith("synthsae")}
    assert rooms == {*HEIGHT} - {"__main__"} | rooms & {"__main__"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("synthsae")])
def test_imports_point_down(module: str) -> None:
    here = room(module)
    for other in imported(MODULES[module]):
        assert not other.startswith("realdata"), f"{module} imports {other}"
        if not other.startswith("synthsae.") or room(other) == here:
            continue
        there = room(other)
        assert HEIGHT[there] <= HEIGHT[here], f"{module} imports {other}"
        assert (here, there) not in APART, f"{module} imports {other}"


def test_there_are_no_circles() -> None:
    """`TopologicalSorter` raises CycleError with the circle."""
    graph = {m: {i for i in imported(path) if i in MODULES} - {m} for m, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


def test_nothing_imports_a_study() -> None:
    """Its own files name each other in full, so that a copy of `study.py` elsewhere runs."""
    for path in [*MODULES.values(), *(ROOT / "studies").rglob("*.py")]:
        own = f"synthsae.studies.{path.parent.name}"
        found = {m for m in imported(path) if m.startswith("synthsae.studies.")}
        assert not {m for m in found if not m.startswith(own)}, path


def test_metrics_and_theory_never_import_torch() -> None:
    for module in (m for m in MODULES if room(m) in ("metrics", "theory")):
        heavy = {m.split(".")[0] for m in imported(MODULES[module])} & {"torch", "xarray"}
        assert not heavy, module
    heavy_ones = (
        "transformer_lens",
        "transformers",
        "datasets",
        "dask",
        "matplotlib.pyplot",
        "sklearn",
    )
    code = (
        "import sys, synthsae, realdata.config; "
        f"print([m for m in {heavy_ones!r} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_training_does_not_import_torchs_compiler() -> None:
    """Its import takes two seconds of every process that trains."""
    code = """
import sys
from synthsae import SAEConfig, TrainConfig, World, WorldConfig
from synthsae.train import train
world = World.plant(WorldConfig(d_model=8, n_blocks=1, rank=2, n_isolated=2), seed=0)
train(world, SAEConfig(k=2), TrainConfig(n_steps=2, batch_size=8, device="cpu"), seeds=[0])
print("torch._dynamo" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
