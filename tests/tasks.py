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


def span(seconds: float) -> tuple[int, float, float]:
    """Who worked, from when to when."""
    began = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), began, time.monotonic()
