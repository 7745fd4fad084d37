"""A process that times jobs for another one: a line of JSON in, a line of JSON out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from jobs import Job


def serve(time: Callable[[Job], dict[str, Any]]) -> None:
    """Answer every job on standard input; whatever else is printed goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        wall, cpu = perf_counter(), process_time()
        answer = time(Job(**json.loads(line)))
        cores = (process_time() - cpu) / (perf_counter() - wall)
        print(json.dumps(answer | {"cores": round(cores, 2)}), file=out, flush=True)


class Worker:
    """The other end: a subprocess of its own Python, which keeps its imports between jobs."""

    def __init__(self, command: Sequence[str], log: Path):
        self.command, self.log = command, log
        free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=free,
            )
        self._answer()

    def time(self, job: Job) -> dict[str, Any]:
        """The answer to `job`."""
        assert self.process.stdin is not None
        print(json.dumps(asdict(job)), file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            said = self.log.read_text()[-2000:]
            raise RuntimeError(f"{' '.join(self.command)} ended:\n{said}")
        return json.loads(line)
