"""One cell of a grid: its config and its hash, how it is computed, where its numbers come from."""

import inspect
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock

import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from synthsae.blame import in_a_line
from synthsae.checks import ConfigError
from synthsae.config import Config, digest
from synthsae.loading import stable_name, texts_beside
from synthsae.measured import measured
from synthsae.results import Measure, run_cell
from synthsae.store import Store
from synthsae.train import resolve_device

ONE_AT_A_TIME = Lock()
"""A process works on one cell at a time: its number of threads is a setting of the whole process,
and rounding depends on it."""


@dataclass(frozen=True)
class Cell:
    """One point of a grid: its config, and the hash that names its file."""

    config: Config
    digest: str

    @classmethod
    def of(cls, config: Config, measures: Sequence[Measure]) -> "Cell":
        """The cell of `config` on which these measures are taken.

        Its hash takes in the files of the measures, but not the rest of the package: see `code`.
        Raises ConfigError for a measure that is not a plain function of a file.
        """
        return cls(config, digest(config.to_json(), *map(_source, measures)))


@dataclass(frozen=True)
class Outcome:
    """What became of a cell, in words, so that it can cross from any worker: it has a file unless
    it raised an `error`; `refused` where that was a ConfigError, `fatal` where no other cell would
    fare better.
    """

    error: str = ""
    refused: bool = False
    fatal: bool = False


def attempt(
    cell: Cell,
    measures: Sequence[Measure],
    store: Store,
    progress: Callable[[int], object] = lambda steps: None,
    keep_saes: bool = False,
) -> Outcome:
    """Compute a cell and write its file, unless it is there: a cluster may run a task twice.

    With `keep_saes` its SAEs are written too, and before it. Raises ConfigError where the cell
    cannot be written.
    """
    saes = store.saes(cell.digest) if keep_saes else None
    with ONE_AT_A_TIME:
        if store.read(cell.digest) is not None and (saes is None or saes.is_file()):
            return Outcome()
        checkpoint = store.checkpoint(cell.digest)
        try:
            result = compute(cell, measures, progress, checkpoint, saes)
        except ConfigError as error:  # its source cannot be used, or has no room on the disk
            return Outcome(error=str(error), refused=True)
        except Exception as error:  # a failing cell must not lose the others
            return Outcome(error=in_a_line(error))
        store.write(cell.digest, result)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return Outcome()


def compute(
    cell: Cell,
    measures: Sequence[Measure],
    progress: Callable[[int], object],
    checkpoint: Path | None = None,
    saes: Path | None = None,
) -> xr.Dataset:
    """Train one cell and measure it; seeds that froze are NaN.

    `checkpoint` is as of `train`; the SAEs that stayed finite are saved at `saes`.
    """
    began = time.perf_counter()
    with threads(cell.config.train.threads):
        trained = run_cell(cell.config, progress, checkpoint)
        if saes is not None and trained.stack is not None:
            trained.stack.save(saes)
        dataset = measured(trained, measures)
    seeds = {dim: list(cell.config.seeds) for dim in dataset.dims if str(dim).startswith("seed")}
    dataset = dataset.reindex(seeds)
    dataset.attrs = provenance(cell.config) | {
        "group_size": str(trained.group_size),
        "config": cell.config.to_json(),
        "frozen": json.dumps(trained.frozen),
        "wall_seconds": time.perf_counter() - began,
    }
    if about := getattr(trained.source, "about", None):
        dataset.attrs["source"] = json.dumps(about)
    return dataset


@contextmanager
def threads(n: int) -> Iterator[None]:
    """PyTorch and NumPy on `n` threads: sums round differently on other numbers of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def provenance(config: Config) -> dict[str, str]:
    """Where a cell's numbers come from: code, versions, device and precision."""
    return {
        "git_commit": git_commit(),
        "versions": versions(),
        "code": code(),
        "device": str(resolve_device(config.train.device)),
        "precision": "bfloat16 choice, float32" if config.train.half else "float32",
    }


@cache
def versions() -> str:
    """The versions of Python and of the packages that the numbers depend on, as JSON."""
    packages = ("synthsae", "numpy", "scipy", "torch", "xarray")
    return json.dumps({"python": platform.python_version()} | {p: version(p) for p in packages})


@cache
def git_commit() -> str:
    """The commit of this package's checkout, or `unknown` where it is not run from one."""
    tracked = ("ls-files", "--error-unmatch", Path(__file__).name)
    describe = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        for arguments in (tracked, describe):
            git = ["git", "-C", str(Path(__file__).parent), *arguments]
            told = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.strip()


@cache
def code() -> str:
    """Hash of the text of this package, figures apart: what the numbers depend on."""
    here = Path(__file__).parent
    files = sorted(f for f in here.rglob("*.py") if here / "figures" not in f.parents)
    return digest(*(f.read_text(encoding="utf-8") for f in files))


def _source(measure: Measure) -> str:
    """What a measure does, for a cell's hash: its name and the text of its file.

    That takes in what the file defines beside it and, of a study file, the modules beside that.
    What a closure or a `partial` holds has no text.
    """
    try:
        module, name = sys.modules[measure.__module__], measure.__qualname__
        if getattr(module, name, None) is not measure:
            raise AttributeError(name)
        texts = [inspect.getsource(module), *texts_beside(module)]
        return f"{stable_name(module.__name__)}.{name}\n{''.join(texts)}"
    except (AttributeError, OSError, TypeError) as error:
        raise ConfigError("measure", measure, "a function at the top of a .py file") from error
