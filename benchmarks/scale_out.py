"""Overhead of a cell on a local dask cluster: python benchmarks/scale_out.py [CELLS [WORKERS]]

Overhead: wall time of `plan` and `run` beyond the cells' own seconds divided by the workers, per
cell. All that they do is in it: configs and hashes, tasks, saving and reading cells, the Dataset,
the figure. Workers are up and have each computed cells before the clock starts. Three repeats, each
in a fresh folder.
"""

import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from distributed import Client, LocalCluster
from matplotlib.figure import Figure

import synthsae
from synthsae import scores
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.study import Study, load, plan
from synthsae.study.runner import run
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

REPEATS = 3

study = Study(
    question="What does a cell cost beside its own seconds?",
    base=Config(
        world=WorldConfig(d_model=16, n_isolated=4, n_blocks=2, rank=2),
        sae=SAEConfig(k=3),
        train=TrainConfig(n_steps=100, batch_size=64, lr=0.01, group_size=1, device="cpu"),
        n_seeds=3,
        eval_samples=1000,
    ),
    axes={"world_seed": tuple(range(500))},
    measures=(scores.block_stability, scores.subspace_recovery, scores.reconstruction),
    figure=lambda ds: Figure(),
    finding=lambda ds: f"{ds.sizes['world_seed']} cells.",
)


def measure(client: Client, n_cells: int, n_workers: int) -> tuple[float, float]:
    """Wall seconds of a run in a fresh folder, and the seconds of its cells."""
    me = load(__file__)
    executor = client.get_executor(pure=False)
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        grid = plan(me, {"world_seed": list(range(n_cells))})
        assert run(__file__, me, grid, Path(out), executor) == 0
        wall = time.perf_counter() - began
        ds = synthsae.open_results(Path(__file__).stem, out)
        assert ds.explained_variance.notnull().all()
        assert ds.sizes["world_seed"] == n_cells
    return wall, float(ds.attrs["wall_seconds"])


def main(n_cells: int = 500, n_workers: int = 2) -> int:
    """Run, measure, print."""
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster) as client:
        measure(client, 4 * n_workers, n_workers)
        overheads = []
        for _ in range(REPEATS):
            wall, own = measure(client, n_cells, n_workers)
            overheads.append((wall - own / n_workers) / n_cells * 1e3)
            print(
                f"{n_cells} cells, {n_workers} workers on {len(os.sched_getaffinity(0))} cores "
                f"(load {os.getloadavg()[0]:.1f}): {wall:.1f} s, {own / n_cells * 1e3:.0f} ms in a "
                f"cell, {overheads[-1]:.1f} ms overhead a cell",
                flush=True,
            )
    low, high = min(overheads), max(overheads)
    print(
        f"overhead a cell: median {statistics.median(overheads):.1f} ms ({low:.1f} to {high:.1f})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
