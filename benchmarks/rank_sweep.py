"""Time and peak memory of the default `rank_sweep`: python benchmarks/rank_sweep.py

Runs it in a fresh folder and appends a row to benchmarks/RESULTS.md.
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

import synthsae

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# What was measured

`python benchmarks/rank_sweep.py`: the default `rank_sweep` in a fresh folder, imports included.

| date | commit | machine | wall s | in cells | peak MiB |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Run, measure, record."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        command = [sys.executable, "-m", "synthsae.study", "rank_sweep", "--out", out]
        subprocess.run(command, check=True)
        wall = time.perf_counter() - began
        attrs = synthsae.open_results("rank_sweep", out).attrs
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    cores = len(os.sched_getaffinity(0))
    row = (
        datetime.date.today().isoformat(),
        attrs["git_commit"][:9],
        f"{platform.machine()}, {cores} cores, torch {json.loads(attrs['versions'])['torch']}",
        f"{wall:.0f}",
        f"{attrs['wall_seconds'] / wall:.0%}",
        f"{peak:.0f}",
    )
    if not RESULTS.exists():
        RESULTS.write_text(HEAD)
    with RESULTS.open("a") as f:
        f.write(f"| {' | '.join(row)} |\n")
    print(" | ".join(row))


if __name__ == "__main__":
    main()
