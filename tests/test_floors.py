"""Imports point down only, and the heavy ones are lazy."""

import ast
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

import synthsae

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"blame", "checks", "definitions", "files", "fingerprint", "geometry", "gpu", "loading"}
    | {"progress", "rng"},
    {"world", "sae", "metrics", "theory", "stats"},
    {"train"},
    {"sources", "kinds", "config", "evaluate", "labels", "pooling", "ensembles", "agreement"},
    {"needs", "results"},
    {"measures", "packing", "store", "figures", "executors"},
    {"measured", "trainings"},
    {"cell", "folder"},
    {"pending", "study"},
    {"about", "run"},
    {"cli"},
]
APART = set(permutations(["world", "sae", "metrics", "theory", "stats"], 2))
APART |= {(part, "definitions") for part in ("world", "sae", "train")}
APART |= {("train", "metrics"), ("train", "world"), ("train", "theory"), ("train", "stats")}
HEIGHT = {name: i for i, floor in enumerate(FLOORS) for name in floor}
RUN_AS_MAIN = {("study", "cli"), ("study", "run")}
"""`python -m synthsae.study` hands over to the command line, and `study.run` to the runner."""


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def part(path: Path) -> str:
    return path.relative_to(ROOT / "synthsae").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted((ROOT / "synthsae").rglob("*.py")), ids=str)
def test_imports_point_down(path: Path) -> None:
    if part(path) == "__init__":
        return
    for module in imported(path):
        names = module.split(".")
        assert names[0] != "realdata", f"{path} imports {module}"
        if names[0] == "studies":
            assert part(path) == "study", f"{path} imports {module}"
        if names[0] != "synthsae" or len(names) < 2 or names[1] == part(path):
            continue
        here, there = part(path), names[1]
        if (here, there) in RUN_AS_MAIN:
            continue
        if there not in HEIGHT:  # a name of the package itself
            assert there in synthsae.__all__, f"{path} imports {module}"
            continue
        assert HEIGHT[there] <= HEIGHT[here], f"{path} imports {module}"
        assert (here, there) not in APART, f"{path} imports {module}"


def test_metrics_and_theory_never_import_torch() -> None:
    for folder in ("metrics", "theory"):
        for path in (ROOT / "synthsae" / folder).glob("*.py"):
            modules = {m.split(".")[0] for m in imported(path)}
            assert not modules & {"torch", "xarray"}, path
    heavy = ("transformer_lens", "transformers", "datasets", "dask", "matplotlib.pyplot")
    code = (
        f"import sys, synthsae, realdata.config; print([m for m in {heavy!r} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_training_does_not_import_torchs_compiler():
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
