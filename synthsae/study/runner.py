"""Run a grid: compute the scores that are missing, in this process or on workers, and save them.

A worker receives the name of a study, configs and a folder, and writes the files of its cells
itself. Little data is sent, every file has one writer, and a worker that dies loses one cell.
"""

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.study.assemble import assemble, readable
from synthsae.study.cell import Cell, Outcome, Trained, attempt, code, code_of, training_code
from synthsae.study.find import load
from synthsae.study.grid import Grid, Study
from synthsae.study.pending import Pending, keep, pending, reasons
from synthsae.study.present import present
from synthsae.study.store import DamagedError, FormatError, Store
from synthsae.study.summary import GIB, summary
from synthsae.study.trainings import Trainings
from synthsae.user_code import in_a_line


class WorkerError(ConfigError):
    """A worker failed for a reason that holds for every other worker too."""

    def __init__(self, text: str):
        super().__init__("worker", "", text)
        self.args = (text,)


KEEP = 5.0
"""Default limit on the SAEs that a results folder keeps, in GiB."""


def run(
    source: str,
    study: Study,
    grid: Grid,
    out: Path,
    executor: Executor | None = None,
    keep_gib: float = KEEP,
    accept_stale: bool = False,
) -> int:
    """Compute the missing cells of `grid`, save the Dataset and the figure, print the finding.

    Cells are saved one by one, so the same call continues a run that was killed. Results of other
    code are computed again; the reasons are printed first.

    Args:
        source: name of one of our studies, or path of a study file. Workers load the study from it.
        study: the study.
        grid: its cells, from `plan`.
        out: the results folder. Every worker must see it under the same path.
        executor: where the cells are computed; None: in this process.
        keep_gib: trained SAEs are saved up to this size, in GiB.
        accept_stale: use saved trainings of earlier code instead of training again.

    Returns:
        The number of cells that failed. Their configs are printed, and the other cells are saved.

    Raises:
        ConfigError: every cell was refused, or the folder cannot be used (for example because
            another run is at work in it).
    """
    store = Store(out, Path(source).stem)
    with store.hold():
        done = saved(grid, store)
        trainings = Trainings(out)
        checked = [
            pending(cell, study.scores, done.get(cell.digest), trainings, accept_stale)
            for cell in grid.cells
        ]
        todo = [p for p in checked if p.scores]
        kept = keep(todo, trainings, int(keep_gib * GIB))
        print(
            f"{store.study}: {study.question}",
            summary(grid, todo, kept, store, here=executor is None),
            *grid.notes,
            *reasons(todo),
            sep="\n",
            flush=True,
        )
        _save_code(study, [p.cell for p in todo], trainings)
        jobs = jobs_of(todo, kept)
        if executor is None:
            outcomes = _in_process(jobs, study, store)
        else:
            outcomes = _on_workers(jobs, source, store, executor)
        failed: list[tuple[Cell, str]] = []
        refused = []
        for cell, outcome in outcomes:
            if outcome.fatal:
                raise WorkerError(outcome.error)
            refused += [outcome.error] * outcome.refused
            result = None if outcome.error else store.await_cell(cell.digest)
            if result is None:
                failed.append(
                    (cell, outcome.error or "its file was written, but is not visible here")
                )
                continue
            done[cell.digest] = result
            if frozen := json.loads(result.attrs["frozen"]):
                i = [c.digest for c in grid.cells].index(cell.digest)
                text = f"cell {i + 1}: not finite, and left out: {frozen} (seed: step)"
                progress.say(text, sys.stdout)
        if refused and len(refused) == len(grid.cells):
            raise WorkerError(refused[0])
        for cell, why in failed:
            print(f"failed: {why}\n  config: {cell.config.to_json()}")
            done.pop(cell.digest, None)
        if done:
            try:
                ordered = {c.digest: done[c.digest] for c in grid.cells if c.digest in done}
                dataset = assemble(grid, ordered)
            except Exception as error:  # a score's names may clash with those of the axes
                why = f"scores whose cells fit together ({in_a_line(error)})"
                raise ConfigError("scores", store.study, why) from error
            dataset.attrs |= {"study": readable(store.study), "question": study.question}
            dataset.attrs["stale"] = json.dumps(sorted({name for p in checked for name in p.stale}))
            if earlier := store.assemble(dataset):
                print(f"kept: {earlier}, of another config")
            present(study, store)
    return len(failed)


class Job(NamedTuple):
    """What one worker computes.

    Attributes:
        cells: one cell, or several cells that share a training, which is then trained once.
        train: whether their SAEs have to be trained.
        keep: whether their SAEs are saved.
    """

    cells: tuple[Cell, ...]
    train: bool
    keep: bool


def jobs_of(todo: Sequence[Pending], kept: Collection[str]) -> list[Job]:
    """One job per training that has to be done, and one per cell whose SAEs are saved already."""
    groups: dict[str, list[Pending]] = {}
    for p in todo:
        groups.setdefault(p.cell.training if p.train else p.cell.digest, []).append(p)
    return [
        Job(
            tuple(p.cell for p in group),
            group[0].train,
            not group[0].train or group[0].cell.training in kept,
        )
        for group in groups.values()
    ]


def saved(grid: Grid, store: Store) -> dict[str, xr.Dataset]:
    """Hash of a cell -> its Dataset, for the cells of `grid` that the store holds.

    Prints which files of the store are damaged or of an earlier format.
    """
    in_store = store.saved()
    read = {c.digest: store.read(c.digest) for c in grid.cells if c.digest in in_store}
    for path in store.damaged:
        print(f"damaged: {path} does not match its checksum; it is computed again")
    try:
        store.open()
    except FormatError as error:
        print(f"earlier: {error}")
    except (FileNotFoundError, DamagedError):
        pass  # this run writes it
    return {digest: cell for digest, cell in read.items() if cell is not None}


def _save_code(study: Study, cells: Sequence[Cell], trainings: Trainings) -> None:
    """Save the fingerprints of the present code, so that a later run can say what changed."""
    used = [*(training_code(cell.config) for cell in cells), *map(code_of, study.scores)]
    for fingerprint in {f.digest: f for f in used}.values():
        trainings.save_code(fingerprint)


def _in_process(jobs: list[Job], study: Study, store: Store) -> Iterator[tuple[Cell, Outcome]]:
    """Compute the cells of `jobs` one after another; yield each with its outcome."""
    with progress.bar("grid", sum(len(job.cells) for job in jobs), "cells") as count:
        for job in jobs:
            in_memory: dict[str, Trained] = {}
            for cell in job.cells:
                yield cell, attempt(cell, study.scores, store, job.keep, in_memory)
                count(1)


def _on_workers(
    jobs: list[Job], source: str, store: Store, executor: Executor
) -> Iterator[tuple[Cell, Outcome]]:
    """Compute them on `executor`; yield them in the order in which jobs finish."""
    where = str(Path(source).resolve()) if source.endswith(".py") else source
    rest = (str(store.out.resolve()), store.owner, code())
    futures = {executor.submit(work, job, where, *rest): job.cells for job in jobs}
    try:
        with progress.bar("grid", sum(map(len, futures.values())), "cells") as count:
            for future in as_completed(futures):
                cells = futures[future]
                yield from zip(cells, _outcomes(future, len(cells)), strict=True)
                count(len(cells))
    finally:
        for future in futures:
            future.cancel()


def work(job: Job, source: str, out: str, owner: str, code_hash: str) -> list[Outcome]:
    """Compute the cells of a job in a worker process.

    Args:
        job: the cells.
        source: name or file of the study.
        out: the results folder.
        owner: name of the run, which holds the folder.
        code_hash: `cell.code` of the run; the worker refuses to compute with other code.

    Returns:
        One outcome per cell. Errors are text, because some exceptions cannot be pickled.
    """
    try:
        study = load(source)
        first = job.cells[0]
        if code_hash != code() or Cell.of(first.config, study.scores).codes != first.codes:
            same = "the same on every worker, file and version of synthsae: restart the workers"
            raise ConfigError("study", source, same)
        store = Store(Path(out), Path(source).stem, owner)
        in_memory: dict[str, Trained] = {}
        with progress.hidden():
            return [attempt(c, study.scores, store, job.keep, in_memory) for c in job.cells]
    except ConfigError as error:
        return [Outcome(error=str(error), fatal=True)] * len(job.cells)


def _outcomes(future: "Future[list[Outcome]]", n: int) -> list[Outcome]:
    """The outcomes of the `n` cells of a job, also where no worker returned them."""
    try:
        return future.result()
    except CancelledError:  # by the executor, not by this run
        text = "the executor cancelled its tasks; does its scheduler still run? Finished cells stay"
        return [Outcome(error=text, fatal=True)] * n
    except Exception as error:  # the worker died, or could not import the package
        return [Outcome(error=f"no answer from a worker: {in_a_line(error)}")] * n
