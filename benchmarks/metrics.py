"""Time and memory of the large metrics: python benchmarks/metrics.py [M ...]

For two dictionaries of M random directions in D = 768: p_hat (`reappearance.found`) beside the
bare float32 matrix products it cannot do without, and the Hungarian matching. Each size runs in a
process of its own. p_hat of S seeds takes S (S - 1) / 2 times as long as of two.
"""

import resource
import subprocess
import sys
import time

import numpy as np

from synthsae.metrics import latent, reappearance

D, SIZES = 768, (1024, 4096, 16384)


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


def measure(m: int) -> str:
    """One row of the table."""
    d = np.random.default_rng(0).standard_normal((2, m, D), dtype=np.float32)
    seconds(lambda: products(d))
    before = peak()
    bare, p_hat = seconds(lambda: products(d)), seconds(lambda: reappearance.found(d))
    held = peak() - before
    hungarian = seconds(lambda: latent.match(d[0], d[1]))
    return (
        f"| {m} | {bare:.2f} | {p_hat:.2f} | {p_hat / bare:.2f} | {held:.0f} | {hungarian:.1f} | "
        f"{peak():.0f} |"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(measure(int(sys.argv[2])), flush=True)
    else:
        print("| M | products s | p_hat s | ratio | p_hat holds MiB | Hungarian s | peak MiB |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for size in sys.argv[1:] or SIZES:
            subprocess.run([sys.executable, __file__, "--one", str(size)], check=True)
