"""What the tests of study files and of the command line share: a study as text, and processes."""

import os
import subprocess
from pathlib import Path

from cluster import ROOT

STUDY = """
import xarray as xr
from matplotlib.figure import Figure
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig
def score(run):
    return xr.Dataset({"a": VALUE})
world = WorldConfig(d_model=8, n_isolated=2, n_blocks=1, rank=2)
train = TrainConfig(n_steps=2, batch_size=32, device="cpu")
base = Config(world=world, sae=SAEConfig(k=2), train=train, n_seeds=2, eval_samples=300)
study = Study("?", base, {}, (score,), lambda ds: Figure(), lambda ds: "!")
"""

ONE = ("--set", "world.noise=0.1", "--set", "sae.k=1", "--set", "train.n_steps=2")


def run(cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
