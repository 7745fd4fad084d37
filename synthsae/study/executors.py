"""Where cells run, if not in this process: processes of this machine, or a dask cluster."""

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
"""Processes that one task may take down with it."""
PATIENCE = 10.0
"""Seconds in which a dask scheduler must answer."""


class WorkerDiedError(RuntimeError):
    """A task took down every process that tried it."""


class Processes(Executor):
    """An Executor of `n` spawned processes, each of which is replaced when it dies.

    Each process is a pool of its own, and a thread here waits for it: so it is known whose task
    killed it, and the others work on. Their share of the cores is disjoint. They end with this
    process, however it ends.
    """

    def __init__(self, n: int):
        within("--workers", n, 1)
        self._n, self._index, self._mine = n, count(), local()
        self._spawn = multiprocessing.get_context("spawn")
        self._ends, self._held = self._spawn.Pipe(duplex=False)
        self._threads = ThreadPoolExecutor(n, initializer=self._settle)
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run fn(*args, **kwargs) in the next process that is free."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: when nothing is left to do or, with `cancel_futures`, at once."""
        if cancel_futures:
            self._held.close()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for pool in self._pools:
            pool.shutdown(wait)
        self._held.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _settle(self) -> None:
        """Give this thread its share of the cores, which its processes inherit."""
        i, self._mine.pool = next(self._index), None
        if hasattr(os, "sched_setaffinity"):  # Linux
            cores = sorted(os.sched_getaffinity(0))
            share = cores[i * len(cores) // self._n : (i + 1) * len(cores) // self._n]
            os.sched_setaffinity(0, share or [cores[i % len(cores)]])

    def _run(self, fn: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        for _ in range(TRIES):
            try:
                return self._process().submit(fn, *args, **kwargs).result()
            except BrokenProcessPool:
                self._mine.pool = None
                if self._held.closed:
                    raise
        raise WorkerDiedError(f"{TRIES} processes died at it")

    def _process(self) -> ProcessPoolExecutor:
        """The process of this thread, which starts with the first task."""
        if self._mine.pool is None:
            self._mine.pool = ProcessPoolExecutor(1, self._spawn, _end_with, (self._ends,))
            self._pools.append(self._mine.pool)
            # Ctrl-C reaches all processes of a terminal: the one that waits here ends the others
            if hasattr(signal, "pthread_sigmask"):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        return self._mine.pool


def _end_with(held: Connection) -> None:
    """End this process when the one that holds the other end of the pipe closes it, or dies."""

    def watch() -> None:
        held.poll(None)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def dask(address: str, *, gpu: bool = False) -> Iterator[Executor]:
    """An Executor on the workers of a running dask cluster; on those that offer a GPU, if `gpu`."""
    try:
        from distributed import Client
    except ImportError as error:
        text = (
            'an environment with dask: in the clone, pip install -e ".[cluster]" -c constraints.txt'
        )
        raise ConfigError("--dask", address, text) from error
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError("--dask", address, "the address of a running dask scheduler") from error
    with client:
        if gpu:
            print("cells wait for dask workers that were started with --resources GPU=1")
        elif not client.nthreads():
            print(f"no worker has joined {address} yet; cells wait for one")
        yield client.get_executor(pure=False, **({"resources": {"GPU": 1}} if gpu else {}))
