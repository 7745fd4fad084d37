"""Tasks for the tests of executors, apart so that a worker imports next to nothing."""

import os
import signal
import time


def double(x: int) -> int:
    return 2 * x


def fatal(path: str) -> None:
    """Die like a process that the system killed for its memory, and count it."""
    with open(path, "a") as f:
        f.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def span(seconds: float) -> tuple[str, float, float]:
    """Address of the dask worker, begin and end."""
    from distributed import get_worker

    began = time.monotonic()
    time.sleep(seconds)
    return get_worker().address, began, time.monotonic()
