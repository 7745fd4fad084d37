"""One cell of a grid: its config and hashes, and how its SAEs are trained and scored."""

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
"""Held while a cell is computed. The number of threads is a setting of the whole process, and sums
are rounded differently on another number, so one process computes one cell at a time."""


@dataclass(frozen=True)
class Cell:
    """One point of a grid, and hashes of everything that its numbers depend on.

    Attributes:
        config: the configuration of the cell.
        digest: hash of the config. The cell's file is named after this hash.
        training: name of the cell's training in `Trainings`. The name holds a hash of the training
            code and a hash of the config without its definitions, so cells that differ only in
            their definitions share one training.
        codes: (name of a score, hash of the code that the score uses), in the order of the scores.
    """

    config: Config
    digest: str
    training: str
    codes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, config: Config, scores: Sequence[Score]) -> "Cell":
        """The cell of `config`, with hashes of the present code.

        Scores that need something which `config` does not have are left out.

        Raises:
            ConfigError: a score is not a function at the top level of a file.
        """
        training = f"{digest(config.trained_by)}-{training_code(config).digest}"
        codes = tuple((name_of(score), code_of(score).digest) for score in fitting(scores, config))
        return cls(config, digest(config.hashed), training, codes)

    @property
    def trained(self) -> str:
        """Hash of the part of the config that the training depends on."""
        return self.training.partition("-")[0]

    def keys(self) -> dict[str, str]:
        """Name of a score -> hash of everything that its numbers depend on."""
        definitions = json.dumps(asdict(self.config.definitions))
        return {name: digest(self.training, name, code, definitions) for name, code in self.codes}

    def missing(self, saved: xr.Dataset | None) -> set[str]:
        """Scores that `saved` lacks, or that other code or another training produced."""
        known = records(saved)
        return {n for n, key in self.keys().items() if known.get(n, {}).get("key") != key}


def records(saved: xr.Dataset | None) -> dict[str, dict[str, Any]]:
    """Name of a score -> its `key`, `code` and `variables`, as recorded in a cell's file."""
    return {} if saved is None else json.loads(saved.attrs.get("scores", "{}"))


def training_code(config: Config) -> Fingerprint:
    """Fingerprint of the code that a training of `config` uses.

    `synthsae.definitions` is left out: definitions matter to scores, not to trainings.
    """
    roots = ("synthsae.scores.run:run_cell", *config.reaches, ARCHITECTURES[config.sae.arch])
    return fingerprint(*roots).without("synthsae.definitions")


def code_of(score: Score) -> Fingerprint:
    """Fingerprint of the code that a score uses."""
    return fingerprint(score, Run)


def name_of(score: Score) -> str:
    """Full name of a score, which does not depend on the folder of its file."""
    return f"{stable_name(score.__module__)}.{getattr(score, '__qualname__', score)}"


@dataclass(frozen=True)
class Outcome:
    """How the computation of a cell ended. It holds plain text, so that any worker can send it.

    Attributes:
        error: text of the exception; empty if the cell's file was written.
        refused: whether the exception was a ConfigError.
        fatal: whether every other cell would fail in the same way.
    """

    error: str = ""
    refused: bool = False
    fatal: bool = False


Trained = tuple[Run, dict[str, Any]] | Outcome
"""SAEs in memory with their provenance, or the outcome of a training that failed."""


def attempt(
    cell: Cell,
    scores: Sequence[Score],
    store: Store,
    keep: bool = True,
    in_memory: dict[str, Trained] | None = None,
) -> Outcome:
    """Compute the scores that a cell's file lacks, and write the file.

    A second call does nothing, because a cluster may run the same task twice.

    Args:
        cell: the cell to compute.
        scores: the scores of the study.
        store: where the cell's file is.
        keep: whether newly trained SAEs are saved.
        in_memory: name of a training -> its SAEs. SAEs are looked up here, then on disk, and are
            trained last; the result is added.

    Raises:
        ConfigError: the cell's file cannot be written.
    """
    in_memory = {} if in_memory is None else in_memory
    with ONE_AT_A_TIME:
        saved = store.read(cell.digest)
        todo = cell.missing(saved)
        if not todo:
            return Outcome()
        scores, trainings = fitting(scores, cell.config), Trainings(store.out)
        if cell.training not in in_memory:
            checkpoint = store.checkpoint(cell.trained)
            in_memory[cell.training] = _trained(cell, trainings, checkpoint)
        if isinstance(trained := in_memory[cell.training], Outcome):
            return trained
        run, about = replace(trained[0], config=cell.config), trained[1]
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


def _trained(cell: Cell, trainings: Trainings, checkpoint: Path) -> Trained:
    """`_load_or_train`, with an exception turned into an `Outcome`."""
    try:
        return _load_or_train(cell, trainings, checkpoint)
    except ConfigError as error:  # the source cannot be used, or the disk is full
        return Outcome(error=str(error), refused=True)
    except Exception as error:  # one failing cell must not stop the others
        return Outcome(error=in_a_line(error))


def _load_or_train(
    cell: Cell, trainings: Trainings, checkpoint: Path
) -> tuple[Run, dict[str, Any]]:
    """The cell's evaluated SAEs and their provenance, loaded from disk or else trained now."""
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
    """The Dataset of a cell: scores that are up to date from `saved`, the others computed now.

    A frozen seed, whose training was not finite, is NaN.
    """
    began, codes, known = time.perf_counter(), dict(cell.codes), records(saved)
    missing, by_score = cell.missing(saved), dict[str, xr.Dataset]()
    with threads(cell.config.train.threads):
        for score in scores:
            name = name_of(score)
            if saved is not None and name not in missing:
                by_score[name] = saved[known[name]["variables"]]
            else:
                with progress.bar(score.__name__):
                    by_score[name] = _with_frozen_seeds(scored(run, score), cell.config)
    dataset = merged([(score, by_score[name_of(score)]) for score in scores])
    keys = cell.keys()
    dataset.attrs = {key: about[key] for key in ("git_commit", "versions", "device", "precision")}
    dataset.attrs |= {
        "training": cell.training,
        "scored_at": git_commit(),
        "scores": json.dumps(
            {
                name: {"key": keys[name], "code": codes[name], "variables": list(part)}
                for name, part in by_score.items()
            }
        ),
        "group_size": str(run.group_size),
        "config": cell.config.to_json(),
        "frozen": json.dumps(run.frozen),
        "train_seconds": about["train_seconds"],
        "score_seconds": time.perf_counter() - began,
    }
    if about_source := getattr(run.source, "about", None):
        dataset.attrs["source"] = json.dumps(about_source)
    return dataset


def _with_frozen_seeds(scored_seeds: xr.Dataset, config: Config) -> xr.Dataset:
    """`scored_seeds` with NaN for the frozen seeds, which it lacks."""
    dims = [dim for dim in scored_seeds.dims if str(dim).startswith("seed")]
    return scored_seeds.reindex({dim: list(config.seeds) for dim in dims})


def provenance(config: Config) -> dict[str, str]:
    """Git commit, versions, device and precision of a training, for the attributes of a cell."""
    return {
        "git_commit": git_commit(),
        "versions": versions(),
        "device": str(resolve_device(config.train.device)),
        "precision": "bfloat16 choice, float32" if config.train.bfloat16_selection else "float32",
    }


@cache
def code() -> str:
    """Hash of the text of all modules of this package except `plot`, on which no number depends."""
    package = Path(__file__).parent.parent
    files = sorted(f for f in package.rglob("*.py") if package / "plot" not in f.parents)
    return digest(*(f.read_text(encoding="utf-8") for f in files))
