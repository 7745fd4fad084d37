"""Where the time of a study goes: python benchmarks/shares.py STUDY OUT [more arguments]

Runs the study in this process with its parts timed, and prints their seconds as JSON in the last
line. The time of a part is its own: what a timed part calls is taken out of it. Data is drawn in
the threads that train; its seconds are divided by their number.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from threading import local
from time import perf_counter
from typing import Any
from unittest.mock import patch

PARTS = {
    "data": ("synthsae.world.World.batch",),
    "training": ("synthsae.scores.run.train",),
    "metrics": ("synthsae.study.cell.scored",),
    "files": tuple(
        f"synthsae.study.store.Store.{f}" for f in ("read", "write", "assemble", "open")
    ),
    "figure": ("synthsae.study.runner.present",),
}


class Stopwatch:
    """Seconds by part, nested calls taken out of the call around them, in each thread."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.inside = local()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted for `part`."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            outer = getattr(self.inside, "spent", 0.0)
            self.inside.spent, began = 0.0, perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = perf_counter() - began
                self.seconds[part] += took - self.inside.spent
                self.inside.spent = outer + took

        return call


def run(arguments: list[str]) -> dict[str, float]:
    """Seconds by part of `python -m synthsae.study` with these arguments."""
    from pkgutil import resolve_name

    from synthsae.study import cli
    from synthsae.train.memory import n_workers

    watch, at_once = Stopwatch(), [1]

    def workers(*about: Any) -> int:
        at_once.append(n_workers(*about))
        return at_once[-1]

    began = perf_counter()
    with ExitStack() as stack:
        stack.enter_context(patch("synthsae.train.run.n_workers", workers))
        for part, names in PARTS.items():
            for name in names:
                stack.enter_context(patch(name, watch.timed(part, resolve_name(name))))
        if cli.main(arguments):
            raise SystemExit("the study failed")
    wall = perf_counter() - began
    seconds = dict(watch.seconds)
    drawn = seconds["data"] / max(at_once)
    seconds |= {"data": drawn, "training": seconds["training"] - drawn}
    return {part: seconds[part] for part in PARTS} | {"wall": wall}


if __name__ == "__main__":
    study, out, *more = sys.argv[1:]
    print(json.dumps(run([study, "--out", out, *more])))
