"""Executors for cells: processes on this machine, or the workers of a dask cluster."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from threading import Thread, local
from types import TracebackType
from typing import Any

from synthsae.checks import ConfigError, within

TRIES = 3
"""Number of worker processes that may die at one task before the task fails."""
DASK_TIMEOUT = 10.0
"""Seconds within which a dask scheduler must answer."""


class WorkerDiedError(RuntimeError):
    """Every process that ran the task died."""


class Processes(Executor):
    """An Executor of `n` spawned processes; a process that dies is replaced.

    Each process is a `ProcessPoolExecutor` of its own with a thread that waits for it. So it is
    known which task killed the process, and the other processes continue. The cores are divided
    among the processes. All processes end when this process ends, even if it is killed.
    """

    def __init__(self, n: int):
        within("--workers", n, 1)
        self._n, self._index, self._of_thread = n, count(), local()
        self._spawn = multiprocessing.get_context("spawn")
        self._worker_end, self._our_end = self._spawn.Pipe(duplex=False)
        self._threads = ThreadPoolExecutor(n, initializer=self._take_cores)
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run fn(*args, **kwargs) in the next free process."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: after the last task or, with `cancel_futures`, at once."""
        if cancel_futures:
            self._our_end.close()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for pool in self._pools:
            pool.shutdown(wait)
        self._our_end.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _take_cores(self) -> None:
        """Pin this thread to its share of the cores. The processes that it starts inherit this."""
        i, self._of_thread.pool = next(self._index), None
        if hasattr(os, "sched_setaffinity"):  # Linux
            cores = sorted(os.sched_getaffinity(0))
            share = cores[i * len(cores) // self._n : (i + 1) * len(cores) // self._n]
            os.sched_setaffinity(0, share or [cores[i % len(cores)]])

    def _run(self, fn: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        for _ in range(TRIES):
            try:
                return self._process().submit(fn, *args, **kwargs).result()
            except BrokenProcessPool:
                self._of_thread.pool = None
                if self._our_end.closed:
                    raise
        raise WorkerDiedError(f"{TRIES} worker processes died at this cell")

    def _process(self) -> ProcessPoolExecutor:
        """The process of this thread, started at the first task."""
        if self._of_thread.pool is None:
            self._of_thread.pool = ProcessPoolExecutor(
                1, self._spawn, _end_with, (self._worker_end,)
            )
            self._pools.append(self._of_thread.pool)
            # a terminal sends Ctrl-C to every process; the main thread ends the workers
            if hasattr(signal, "pthread_sigmask"):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        return self._of_thread.pool


def _end_with(pipe: Connection) -> None:
    """End this process when the parent closes the other end of the pipe, or dies."""

    def watch() -> None:
        pipe.poll(None)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def dask(address: str, *, gpu: bool = False) -> Iterator[Executor]:
    """An Executor on a running dask cluster; with `gpu`, only on workers that offer a GPU."""
    try:
        from distributed import Client
    except ImportError as error:
        text = (
            'an environment with dask: in the clone, pip install -e ".[cluster]" -c constraints.txt'
        )
        raise ConfigError("--dask", address, text) from error
    try:
        client = Client(address, timeout=DASK_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError("--dask", address, "the address of a running dask scheduler") from error
    with client:
        if gpu:
            print("cells wait for dask workers that were started with --resources GPU=1")
        elif not client.nthreads():
            print(f"no worker has joined {address} yet; cells wait for one")
        yield client.get_executor(pure=False, **({"resources": {"GPU": 1}} if gpu else {}))
