"""Time, peak memory and acceptance of the default `rank_sweep`: python benchmarks/rank_sweep.py

Runs it in a fresh folder, appends a row to benchmarks/RESULTS.md, and exits 1 where the result is
not what the coverage law and identifiability promise.
"""

import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr

import synthsae

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# What was measured

`python benchmarks/rank_sweep.py`: the default `rank_sweep` in a fresh folder, imports included.

*Gap* is the largest distance of mean p_hat from the coverage law over the ranks of the isotropic
law, and beside it the same in standard deviations of random rotations. *Accepted*: the gap is at
most .05 or 3 of them at every rank; p_hat is at least .95 at ranks 1 and 2 and at most .10 at 16;
overlap is at least .98 and isolated features reappear at .99 or more at every rank; under the
sparse law p_hat and MCC are at least .9 at every rank.

| date | commit | machine | wall s | in cells | peak MiB | gap | accepted |
|---|---|---|---|---|---|---|---|
"""


def gaps(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Distance of mean p_hat from the law, and its Haar standard deviation, by rank."""
    part = ds.sel(law="isotropic")
    over = ("seed", "block")
    gap = abs(part.block_reappearance.mean(over) - part.coverage_prediction.mean(over))
    return gap, part.coverage_prediction_sd


def accepted(ds: xr.Dataset) -> bool:
    """Whether the result is what was promised."""
    gap, sd = gaps(ds)
    isotropic, sparse = ds.sel(law="isotropic"), ds.sel(law="sparse")
    p, over = isotropic.block_reappearance.mean(("seed", "block")), ("seed", "block")
    promises = [
        gap <= (3 * sd).clip(min=0.05),
        p.sel(rank=[1, 2]) >= 0.95,
        p.sel(rank=16) <= 0.10,
        isotropic.subspace_overlap.mean(over) >= 0.98,
        isotropic.isolated_reappearance.mean("seed") >= 0.99,
        sparse.block_reappearance.mean(over) >= 0.9,
        sparse.block_feature_mcc.mean(over) >= 0.9,
    ]
    return all(bool(promise.all()) for promise in promises)


def main() -> int:
    """Run, measure, record."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        command = [sys.executable, "-m", "synthsae.study", "rank_sweep", "--out", out]
        subprocess.run(command, check=True)
        wall = time.perf_counter() - began
        ds = synthsae.open_results("rank_sweep", out)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    gap, sd = gaps(ds)
    worst = int(gap.values.argmax())
    cores = len(os.sched_getaffinity(0))
    row = (
        datetime.date.today().isoformat(),
        ds.attrs["git_commit"][:9],
        f"{platform.machine()}, {cores} cores, torch {json.loads(ds.attrs['versions'])['torch']}",
        f"{wall:.0f}",
        f"{ds.attrs['wall_seconds'] / wall:.0%}",
        f"{peak:.0f}",
        f"{gap[worst]:.3f} ({gap[worst] / sd[worst]:.1f} sd)",
        "yes" if accepted(ds) else "NO",
    )
    if not RESULTS.exists():
        RESULTS.write_text(HEAD)
    with RESULTS.open("a") as f:
        f.write(f"| {' | '.join(row)} |\n")
    print(" | ".join(row))
    return 0 if accepted(ds) else 1


if __name__ == "__main__":
    sys.exit(main())
