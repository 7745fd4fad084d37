"""Time and memory of the large metrics: python benchmarks/metrics.py [M ...]

For two dictionaries of M random directions in D = 768: p_hat (`reappearance.found`) beside the
bare float32 matrix products it cannot do without, and the Hungarian matching. Each size runs in a
process of its own. p_hat of S seeds takes S (S - 1) / 2 times as long as of two. The record of all
sizes goes to benchmarks/results/metrics.json, and from there to RESULTS.md.
"""

import datetime
import json
import resource
import subprocess
import sys
import time

import numpy as np

from synthsae.metrics import latent, reappearance

D, SIZES = 768, (1024, 2048, 4096, 8192, 16384)


def seconds(call: object) -> float:
    """Wall time of `call()`."""
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - began


def products(d: np.ndarray) -> None:
    """The cosines of two dictionaries, 1024 rows at a time."""
    for i in range(0, d.shape[1], 1024):
        d[0, i : i + 1024] @ d[1].T


def peak() -> float:
    """Largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(m: int) -> tuple[str, ...]:
    """One row of the table."""
    d = np.random.default_rng(0).standard_normal((2, m, D), dtype=np.float32)
    seconds(lambda: products(d))
    before = peak()
    bare, p_hat = seconds(lambda: products(d)), seconds(lambda: reappearance.found(d))
    held = peak() - before
    hungarian = seconds(lambda: latent.match(d[0], d[1]))
    times = (f"{bare:.2f}", f"{p_hat:.2f}", f"{p_hat / bare:.2f}", f"{held:.0f}")
    return str(m), *times, f"{hungarian:.1f}", f"{peak():.0f}"


def main(sizes: list[int]) -> None:
    """Measure each size, and record them if they are all of `SIZES`."""
    rows = []
    for size in sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        print(" | ".join(rows[-1]), flush=True)
    if sizes == list(SIZES):
        import report  # late: a process's peak counts what its parent held when it was started

        date = datetime.date.today().isoformat()
        report.save("metrics", {"date": date, "machine": report.machine(), "rows": rows})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        main([int(m) for m in sys.argv[1:]] or list(SIZES))
