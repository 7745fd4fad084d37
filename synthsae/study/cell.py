"""One cell of a grid: its config and its hash, how it is computed, where its numbers come from."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import xarray as xr

from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.config import Config, digest
from synthsae.machine import threads
from synthsae.provenance import git_commit, versions
from synthsae.sae import ARCHITECTURES
from synthsae.scores.needs import fitting
from synthsae.scores.run import Run, Score, run_cell
from synthsae.study.fingerprint import Fingerprint, fingerprint
from synthsae.study.scoring import merged, scored
from synthsae.study.store import Store
from synthsae.study.trainings import Trainings
from synthsae.train import resolve_device
from synthsae.user_code import in_a_line, stable_name

ONE_AT_A_TIME = Lock()
"""A process works on one cell at a time: its number of threads is a setting of the whole process,
and rounding depends on it."""


@dataclass(frozen=True)
class Cell:
    """One point of a grid, and what its numbers depend on.

    Attributes:
        config: its configuration.
        digest: hash of the config, which names its file.
        training: name of its training in `Trainings`: hashes of the code and of the config without
            its definitions, so that cells which differ in these alone share it.
        codes: (name of a score, hash of the code that it reaches), in order.
    """

    config: Config
    digest: str
    training: str
    codes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, config: Config, scores: Sequence[Score]) -> "Cell":
        """The cell of `config` on which those of these scores are taken that have what they need
        there, with the code as it is now.

        Raises ConfigError for a score that is not a plain function of a file.
        """
        training = f"{digest(config.trained_by)}-{training_code(config).digest}"
        codes = tuple((name_of(m), code_of(m).digest) for m in fitting(scores, config))
        return cls(config, digest(config.to_json()), training, codes)

    @property
    def trained(self) -> str:
        """Hash of what its training depends on beside the code."""
        return self.training.partition("-")[0]

    def keys(self) -> dict[str, str]:
        """By name of a score, the hash of all that its numbers depend on."""
        means = json.dumps(asdict(self.config.definitions))
        return {name: digest(self.training, name, code, means) for name, code in self.codes}

    def missing(self, saved: xr.Dataset | None) -> set[str]:
        """The scores that the cell's file lacks, or has of other code or another training."""
        known = records(saved)
        return {n for n, key in self.keys().items() if known.get(n, {}).get("key") != key}


def records(saved: xr.Dataset | None) -> dict[str, dict[str, Any]]:
    """What a cell's file says of each score in it: `key`, `code` and `variables`."""
    return {} if saved is None else json.loads(saved.attrs.get("scores", "{}"))


def training_code(config: Config) -> Fingerprint:
    """The code on which a training of `config` depends; what words mean is for scores alone."""
    roots = ("synthsae.scores.run:run_cell", *config.reaches, ARCHITECTURES[config.sae.arch])
    return fingerprint(*roots).without("synthsae.definitions")


def code_of(score: Score) -> Fingerprint:
    """The code on which what a score finds in a training depends."""
    return fingerprint(score, Run)


def name_of(score: Score) -> str:
    """The full name of a score, wherever its file is."""
    return f"{stable_name(score.__module__)}.{getattr(score, '__qualname__', score)}"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell, in words, so that it can cross from any worker: it has a file unless
    it raised an `error`; `refused` where that was a ConfigError, `fatal` where no other cell would
    fare better.
    """

    error: str = ""
    refused: bool = False
    fatal: bool = False


Made = dict[str, tuple[Run, dict[str, Any]] | Outcome]
"""By name of a training: its SAEs in memory and how they were made, or why there are none."""


def attempt(
    cell: Cell,
    scores: Sequence[Score],
    store: Store,
    keep: bool = True,
    made: Made | None = None,
) -> Outcome:
    """Compute what a cell's file lacks, and write it: a cluster may run a task twice.

    Its SAEs are those of its training where that is in `made` or on disk; else they are trained,
    put into `made`, and kept if `keep` says so. Raises ConfigError where the cell cannot be
    written.
    """
    made = {} if made is None else made
    with ONE_AT_A_TIME:
        saved = store.read(cell.digest)
        todo = cell.missing(saved)
        if not todo:
            return Outcome()
        scores, trainings = fitting(scores, cell.config), Trainings(store.out)
        if cell.training not in made:
            made[cell.training] = _made(cell, trainings, store.checkpoint(cell.trained))
        if isinstance(found := made[cell.training], Outcome):
            return found
        run, about = replace(found[0], config=cell.config), found[1]
        if keep and trainings.record(cell.training) is None:
            with progress.bar("saving the SAEs"):
                trainings.save(cell.training, run, about)
        try:
            result = _scored(cell, run, about, scores, saved)
        except Exception as error:
            return Outcome(error=in_a_line(error))
        store.write(cell.digest, result)
        shutil.rmtree(store.checkpoint(cell.trained), ignore_errors=True)
        return Outcome()


def _made(
    cell: Cell, trainings: Trainings, checkpoint: Path
) -> tuple[Run, dict[str, Any]] | Outcome:
    """The SAEs of a cell's training, or what kept them from being made."""
    try:
        return _run(cell, trainings, checkpoint)
    except ConfigError as error:  # its source cannot be used, or has no room on the disk
        return Outcome(error=str(error), refused=True)
    except Exception as error:  # a failing cell must not lose the others
        return Outcome(error=in_a_line(error))


def _run(cell: Cell, trainings: Trainings, checkpoint: Path) -> tuple[Run, dict[str, Any]]:
    """The cell's SAEs, evaluated, and how they were made: those that are there, or trained now."""
    with threads(cell.config.train.threads):
        with progress.bar("opening the SAEs"):
            about = trainings.record(cell.training)
            run = trainings.load(cell.training, cell.config)
        if run is not None and about is not None:
            return run, about
        began = time.perf_counter()
        run = run_cell(cell.config, checkpoint)
    return run, provenance(cell.config) | {"train_seconds": time.perf_counter() - began}


def _scored(
    cell: Cell,
    run: Run,
    about: dict[str, Any],
    scores: Sequence[Score],
    saved: xr.Dataset | None,
) -> xr.Dataset:
    """What the scores find, as saved or anew; NaN for a seed that froze."""
    began, codes, known = time.perf_counter(), dict(cell.codes), records(saved)
    missing, every = cell.missing(saved), dict[str, xr.Dataset]()
    with threads(cell.config.train.threads):
        for score in scores:
            name = name_of(score)
            if saved is not None and name not in missing:
                every[name] = saved[known[name]["variables"]]
            else:
                with progress.bar(score.__name__):
                    every[name] = _of_all_seeds(scored(run, score), cell.config)
    dataset = merged([(m, every[name_of(m)]) for m in scores])
    keys = cell.keys()
    dataset.attrs = {key: about[key] for key in ("git_commit", "versions", "device", "precision")}
    dataset.attrs |= {
        "training": cell.training,
        "scored_at": git_commit(),
        "scores": json.dumps(
            {
                name: {"key": keys[name], "code": codes[name], "variables": list(part)}
                for name, part in every.items()
            }
        ),
        "group_size": str(run.group_size),
        "config": cell.config.to_json(),
        "frozen": json.dumps(run.frozen),
        "train_seconds": about["train_seconds"],
        "score_seconds": time.perf_counter() - began,
    }
    if said := getattr(run.source, "about", None):
        dataset.attrs["source"] = json.dumps(said)
    return dataset


def _of_all_seeds(found: xr.Dataset, config: Config) -> xr.Dataset:
    """`found` with NaN for the seeds that froze."""
    dims = [dim for dim in found.dims if str(dim).startswith("seed")]
    return found.reindex({dim: list(config.seeds) for dim in dims})


def provenance(config: Config) -> dict[str, str]:
    """Where a cell's numbers come from: code, versions, device and precision."""
    return {
        "git_commit": git_commit(),
        "versions": versions(),
        "device": str(resolve_device(config.train.device)),
        "precision": "bfloat16 choice, float32" if config.train.half else "float32",
    }


@cache
def code() -> str:
    """Hash of the text of this package, plots apart: what the numbers depend on."""
    here = Path(__file__).parent.parent
    files = sorted(f for f in here.rglob("*.py") if here / "plot" not in f.parents)
    return digest(*(f.read_text(encoding="utf-8") for f in files))
