"""The training engine beside other libraries: python benchmarks/engine.py [--device cpu] [--quick]

Makes an environment for the others (once), writes the data, and times every case of
`benchmarks/cases.py` in interleaved rounds: all libraries at a case, then the next case; that is a
round. Each library has a process of its own, a thread count and as many cores. The rounds go to
benchmarks/results/, and `report.py` makes RESULTS.md and the figures of them. Nothing else should
run meanwhile.
"""

import argparse
import datetime
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import environment
import numpy as np
import ours
import report
import torch
from cases import GROUPS, OURS, Case, cases
from worker import Worker

from synthsae.provenance import git_commit

HERE = Path(__file__).parent
DATA_BYTES = 64 * 2**20
"""What the pre-generated batches of a case may take."""


def about(device: str) -> dict[str, str]:
    """Where and when the numbers come from."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": git_commit()[:9],
        "machine": torch.cuda.get_device_name() if device == "cuda" else report.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_data(case: Case, path: Path) -> Case:
    """The case with its batches written to `path`, at most 16 of them."""
    job = case.job
    if job.generate:
        return case
    n = max(4, min(16, DATA_BYTES // (4 * job.batch * job.d)))
    np.save(path, ours.generate(job, n))
    return replace(case, job=replace(job, data=str(path)))


@contextmanager
def workers(libraries: set[str], python: Path, folder: Path) -> Iterator[dict[str, Worker]]:
    """A process for each library."""
    started = {}
    try:
        for library in sorted(libraries):
            command = [sys.executable, str(HERE / "ours.py")]
            if library != OURS:
                command = [str(python), str(HERE / "peers.py"), library]
            started[library] = Worker(command, folder / f"{library}.log")
        yield started
    finally:
        for worker in started.values():
            worker.close()


def measure(group: list[Case], python: Path, repeats: int) -> list[dict[str, Any]]:
    """Every answer: case, library, round and what the library's process said."""
    answers: list[dict[str, Any]] = []
    libraries = {library for case in group for library in case.libraries}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = [write_data(case, folder / f"{i}.npy") for i, case in enumerate(group)]
        pool = stack.enter_context(workers(libraries, python, folder))
        for n in range(repeats):
            for case in group:
                for library in case.libraries:
                    answer = pool[library].time(case.job)
                    answers.append({"case": case.name, "library": library, "round": n} | answer)
                told = ", ".join(
                    f"{a['library']} {a['rate'] / 1e3:.3g} ({a['cores']:.1f} cores)"
                    for a in answers[-len(case.libraries) :]
                )
                print(f"round {n + 1} of {repeats}, {case.name} (1000/s): {told}", flush=True)
    return answers


def main() -> None:
    """Measure the groups asked for, save the rounds, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="short timings, two rounds, not saved")
    parser.add_argument("--repeats", type=int, help="rounds (default: 5)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument(
        "--python", type=Path, help="a Python that has the other libraries, in place of making one"
    )
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="folder of the records")
    options = parser.parse_args()
    python = options.python or environment.make()
    repeats = options.repeats or (2 if options.quick else 5)
    for name in options.only:
        group = cases(name, options.device, options.quick)
        answers = measure(group, python, repeats)
        plan = {c.name: {"job": asdict(c.job), "aims": c.aims} for c in group}
        record = about(options.device) | {"group": name, "device": options.device}
        record |= {"cases": plan, "answers": answers}
        if options.quick and options.out == report.RESULTS:
            print(report.table(record))
            continue
        report.save(f"{options.device}-{name}", record, options.out)


if __name__ == "__main__":
    main()
