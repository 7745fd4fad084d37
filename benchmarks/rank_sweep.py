"""Time, peak memory and acceptance of the default `rank_sweep`: python benchmarks/rank_sweep.py

Runs it in a fresh folder, once with --quick and once whole, adds a row to the record in
benchmarks/results and the shares of data, training, metrics and files, writes RESULTS.md anew, and
exits 1 where the result is not what the coverage law and identifiability promise.
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

import report
import xarray as xr

import synthsae

SHARES = Path(__file__).parent / "shares.py"


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


def timed(*more: str) -> tuple[xr.Dataset, float, dict[str, float]]:
    """The Dataset of a run in a fresh folder, its wall time and the seconds of its parts."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        command = [sys.executable, str(SHARES), "rank_sweep", out, *more]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        wall = time.perf_counter() - began
        parts = json.loads(told.splitlines()[-1])
        return synthsae.open_results("rank_sweep", out), wall, parts


def shares(run: str, wall: float, parts: dict[str, float]) -> dict[str, str]:
    """A row of the table of shares; what no part took is `other`."""
    seconds = {name: s for name, s in parts.items() if name != "wall"}
    seconds["other"] = wall - sum(seconds.values())
    return {"run": run, "wall s": f"{wall:.0f}"} | {
        n: f"{s / wall:.1%}" for n, s in seconds.items()
    }


def main() -> int:
    """Run, measure, record."""
    _, quick_wall, quick_parts = timed("--quick")
    ds, wall, parts = timed()
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
    record = dict(report.load(report.RESULTS, "rank_sweep") or {"rows": []})
    record["rows"] = [*record["rows"], dict(zip(report.RANK_COLUMNS, row, strict=True))]
    table = [shares("`--quick`", quick_wall, quick_parts), shares("default", wall, parts)]
    report.save("rank_sweep", record | {"shares": table})
    print(" | ".join(row))
    return 0 if accepted(ds) else 1


if __name__ == "__main__":
    sys.exit(main())
