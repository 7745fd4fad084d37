"""Time and memory of `compare` on SAEs of real size: python benchmarks/at_size.py [S M ...]

S SAEs of M latents in D = 768. Of their latents, 45% are shared directions that differ by noise of
several sizes, 5% are near copies of another latent of the same SAE, 2% are dead and the rest are
random. One child process a size computes what the scores share (`found`, `latent_rank`), then each
score of `realdata.compare`, and prints seconds of wall time, seconds of the processor and the
largest memory while a step ran. To compare two versions, set PYTHONPATH.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

D, SIZES = 768, ((3, 1024), (3, 4096), (8, 1024), (8, 4096))


def planted(s: int, m: int, d: int = D) -> np.ndarray:
    """Decoders [S, M, D] in float32, as the head of this file says."""
    rng = np.random.default_rng(0)
    shared, copied, dead = int(0.45 * m), int(0.05 * m), int(0.02 * m)
    truth = _unit(rng.standard_normal((shared, d), dtype=np.float32))
    noise = rng.choice([0.05, 0.3, 1.0], (shared, 1)).astype(np.float32)
    out = np.empty((s, m, d), dtype=np.float32)
    for x in out:
        x[:] = _unit(rng.standard_normal((m, d), dtype=np.float32))
        x[:shared] = truth + noise * x[:shared]
        x[shared : shared + copied] = x[:copied] + 0.1 * x[shared : shared + copied]
        x[-dead:] = 0
        x[:] = _unit(x)[rng.permutation(m)]
    return out


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(norm > 0, norm, 1)


def measured(step: Callable[[], object]) -> tuple[float, float, float]:
    """Wall time, processor time and largest memory (MiB) of `step()`."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest memory so far
    wall, processor = time.perf_counter(), time.process_time()
    step()
    times = time.perf_counter() - wall, time.process_time() - processor
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return *times, int(status["VmHWM"].split()[0]) / 1024


def steps(s: int, m: int) -> None:
    """Print a JSON line for each step of `compare` of S x M latents."""
    from realdata import compare
    from synthsae.scores.run import Dictionaries

    decoders = planted(s, m).astype(np.float64)
    encoders = decoders + np.random.default_rng(1).normal(0, 0.5 / D**0.5, decoders.shape)
    names = tuple(f"sae {i}" for i in range(s))
    saes = Dictionaries(names, decoders, decoders.any(axis=2), encoders)
    every: dict[str, Callable[[], object]] = {
        "found": lambda: saes.p_hat,
        "latent_rank": lambda: saes.latent_rank,
    }
    for score in compare.SCORES + compare.MATCHED_SCORES:
        every[score.__name__] = lambda score=score: score(saes)
    for name, step in every.items():
        print(json.dumps([name, *measured(step)]), flush=True)


def main(sizes: list[tuple[int, int]]) -> None:
    """Measure each size in a process of its own."""
    for s, m in sizes:
        print(f"\n{s} x {m} x {D}: step | wall s | processor s | largest MiB")
        command = [sys.executable, __file__, "--one", str(s), str(m)]
        total = np.zeros(2)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for line in child.stdout or ():
                name, wall, processor, peak = json.loads(line)
                total += wall, processor
                print(f"{name} | {wall:.1f} | {processor:.1f} | {peak:.0f}", flush=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"all | {total[0]:.1f} | {total[1]:.1f} | {peak:.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        steps(int(sys.argv[2]), int(sys.argv[3]))
    else:
        given = [int(n) for n in sys.argv[1:]]
        main(list(zip(given[::2], given[1::2], strict=True)) or list(SIZES))
