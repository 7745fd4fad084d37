"""Running a grid: what is missing is computed, here or by the workers of any Executor, and saved.

A worker is told a study's name, a config and a folder; it writes the cell's file and says that it
has. So little crosses, a file has one writer, and a worker that dies loses one cell.
"""

import io
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.config import Config
from synthsae.study.assemble import assemble, readable
from synthsae.study.cell import Cell, Made, Outcome, attempt, code, code_of, training_code
from synthsae.study.find import load
from synthsae.study.grid import Grid, Study
from synthsae.study.pending import Pending, keep, pending, reasons, to_train
from synthsae.study.store import DamagedError, FormatError, Store
from synthsae.study.trainings import Trainings, n_bytes
from synthsae.train import EVERY, available, memory_bound, resolve_device
from synthsae.user_code import in_a_line


class WorkerError(ConfigError):
    """What one worker cannot do and no other could either."""

    def __init__(self, text: str):
        super().__init__("worker", "", text)
        self.args = (text,)


GIB = 2**30
KEEP = 5.0
"""GiB of SAEs that a results folder keeps unless told otherwise."""


def run(
    source: str,
    study: Study,
    grid: Grid,
    out: Path,
    executor: Executor | None = None,
    keep_gib: float = KEEP,
    accept_stale: bool = False,
) -> int:
    """Compute what is missing of `grid`, save Dataset and figure, say what was found.

    Cells are saved one by one, so a killed run goes on where it stopped. They run in this process
    or on `executor`, whose workers load the study `source` (an installed study's name, or a file)
    and must see that file and the folder `out`. What other code computed is computed again, and
    said; with `accept_stale` trainings by other code stay. SAEs are kept up to `keep_gib`. Returns
    the number of cells that failed; their configs are printed and the others are kept. Raises
    ConfigError where all cells are refused, or the folder cannot be used, which is so while another
    run is at work in it.
    """
    store = Store(out, Path(source).stem)
    with store.hold():
        done = saved(grid, store)
        trainings = Trainings(out)
        every = [
            pending(cell, study.scores, done.get(cell.digest), trainings, accept_stale)
            for cell in grid.cells
        ]
        todo = [p for p in every if p.scores]
        kept = keep(todo, trainings, int(keep_gib * GIB))
        print(
            f"{store.study}: {study.question}\n{summary(grid, todo, kept, store, executor)}",
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
        for lost, outcome in outcomes:
            if outcome.fatal:
                raise WorkerError(outcome.error)
            refused += [outcome.error] * outcome.refused
            cell = None if outcome.error else store.await_cell(lost.digest)
            if cell is None:
                failed.append((lost, outcome.error or "its file, just written, is not seen here"))
                continue
            done[lost.digest] = cell
            if frozen := json.loads(cell.attrs["frozen"]):
                i = [c.digest for c in grid.cells].index(lost.digest)
                text = f"cell {i + 1}: not finite, and left out: {frozen} (seed: step)"
                progress.say(text, sys.stdout)
        if refused and len(refused) == len(grid.cells):
            raise WorkerError(refused[0])
        for lost, why in failed:
            print(f"failed: {why}\n  config: {lost.config.to_json()}")
            done.pop(lost.digest, None)
        if done:
            try:
                there = {c.digest: done[c.digest] for c in grid.cells if c.digest in done}
                dataset = assemble(grid, there)
            except Exception as error:  # a score's names may clash with those of the axes
                why = f"scores whose cells fit together ({in_a_line(error)})"
                raise ConfigError("scores", store.study, why) from error
            dataset.attrs |= {"study": readable(store.study), "question": study.question}
            dataset.attrs["stale"] = json.dumps(sorted({name for p in every for name in p.stale}))
            if earlier := store.assemble(dataset):
                print(f"kept: {earlier}, of another config")
            present(study, store)
    return len(failed)


class Job(NamedTuple):
    """What a worker is told: cells, whether they are trained, and whether their SAEs are kept.

    Several cells are of one training, which one worker makes once.
    """

    cells: tuple[Cell, ...]
    train: bool
    keep: bool


def jobs_of(todo: Sequence[Pending], kept: Collection[str]) -> list[Job]:
    """A job for each training that is to be made, and for each other cell."""
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
    """The cells of `grid` that the store has, by hash; says which of its files are of no use."""
    there = store.saved()
    read = {c.digest: store.read(c.digest) for c in grid.cells if c.digest in there}
    for path in store.damaged:
        print(f"damaged: {path} does not match its checksum; it is computed again")
    try:
        store.open()
    except FormatError as error:
        print(f"earlier: {error}")
    except (FileNotFoundError, DamagedError):
        pass  # it will be made, or made again
    return {digest: cell for digest, cell in read.items() if cell is not None}


def _save_code(study: Study, cells: Sequence[Cell], trainings: Trainings) -> None:
    """Keep what the hashes of code stand for, so that a later run can say what changed."""
    every = [*(training_code(cell.config) for cell in cells), *map(code_of, study.scores)]
    for found in {f.digest: f for f in every}.values():
        trainings.save_code(found)


def _in_process(jobs: list[Job], study: Study, store: Store) -> Iterator[tuple[Cell, Outcome]]:
    """The cells of `jobs`, and what became of each, one after another."""
    with progress.bar("grid", sum(len(job.cells) for job in jobs), "cells") as count:
        for job in jobs:
            made: Made = {}
            for cell in job.cells:
                yield cell, attempt(cell, study.scores, store, job.keep, made)
                count(1)


def _on_workers(
    jobs: list[Job], source: str, store: Store, executor: Executor
) -> Iterator[tuple[Cell, Outcome]]:
    """The same in the order in which jobs are finished."""
    where = str(Path(source).resolve()) if source.endswith(".py") else source
    rest = (str(store.out.resolve()), store.owner, code())
    futures = {executor.submit(work, job, where, *rest): job.cells for job in jobs}
    try:
        with progress.bar("grid", sum(map(len, futures.values())), "cells") as count:
            for future in as_completed(futures):
                cells = futures[future]
                yield from zip(cells, _told(future, len(cells)), strict=True)
                count(len(cells))
    finally:
        for future in futures:
            future.cancel()


def work(job: Job, source: str, out: str, owner: str, text: str) -> list[Outcome]:
    """Compute the cells of a job where a worker is, for the run `owner`, by the same `text`
    (`cell.code`).

    Errors come back as text: some exceptions cannot be pickled back from a worker.
    """
    try:
        study = load(source)
        first = job.cells[0]
        if text != code() or Cell.of(first.config, study.scores).codes != first.codes:
            same = "the same on every worker, file and version of synthsae: restart the workers"
            raise ConfigError("study", source, same)
        store = Store(Path(out), Path(source).stem, owner)
        made: Made = {}
        with progress.hidden():
            return [attempt(c, study.scores, store, job.keep, made) for c in job.cells]
    except ConfigError as error:
        return [Outcome(error=str(error), fatal=True)] * len(job.cells)


def _told(future: "Future[list[Outcome]]", n: int) -> list[Outcome]:
    """What became of the `n` cells of a job."""
    try:
        return future.result()
    except CancelledError:  # not by us
        text = "the executor let its tasks go: is its scheduler still there? Finished cells stay"
        return [Outcome(error=text, fatal=True)] * n
    except Exception as error:  # the executor has given up: the worker died, or cannot import
        return [Outcome(error=f"no answer from a worker: {in_a_line(error)}")] * n


def present(study: Study, store: Store) -> None:
    """Draw the saved Dataset and say what it shows.

    Raises ConfigError where the study's figure or finding does not take this Dataset.
    """
    from synthsae.plot.common import caveat, with_line_below

    dataset, name = store.open(), store.study
    drawn = {kind: io.BytesIO() for kind in ("png", "pdf")}
    try:
        with progress.bar("figure"):
            figure, finding = study.figure(dataset), study.finding(dataset)
            line = caveat(dataset)
            frame = with_line_below(figure, line) if line else None
            for kind, data in drawn.items():
                figure.savefig(data, format=kind, dpi=200, bbox_inches=frame)
    except Exception as error:  # whatever a study's own code raises on numbers it has not met
        why = f"a Dataset that the study can draw ({in_a_line(error)})"
        raise ConfigError("figure", f"{store.folder / name}.nc", why) from error
    for kind, data in drawn.items():
        store.save(f"{name}.{kind}", data.getvalue())
    print(f"\n{finding}\n\n{store.folder / name}.nc, .png, .pdf")


def summary(
    grid: Grid,
    todo: Sequence[Pending],
    kept: Collection[str],
    store: Store,
    executor: Executor | None = None,
) -> str:
    """What a call is going to do, in a few lines."""
    configs = [cell.config for cell in grid.cells]
    axes = " x ".join(f"{name} ({', '.join(map(str, v))})" for name, v in grid.axes.items())
    train = [p.cell.config for p in to_train(todo)]
    scored, n_trainings = sum(not p.train for p in todo), len({c.training for c in grid.cells})

    def over(values: Iterable[Any]) -> str:
        found = sorted(set(values))
        return " to ".join(str(v) for v in dict.fromkeys((found[0], found[-1])))

    seeds = over(config.n_seeds for config in configs)
    steps, size, data, device = (
        over(getattr(config.training, name) for config in configs)
        for name in ("n_steps", "batch_size", "data", "device")
    )
    lines = [
        f"{len(grid.cells)} cells"
        + f" of {n_trainings} trainings" * (n_trainings < len(grid.cells))
        + f", {len(train)} to train"
        + (f", {scored} to score with SAEs that are there" if scored else "")
        + (f": {axes}" if axes else ""),
        f"{seeds} seeds a cell, {steps} steps of {size} samples each, {data} data, "
        f"{device if executor else _resources(configs)}",
    ]
    if train:
        where = store.checkpoint("")
        lines.append(
            f"a training that takes minutes saves its state every {EVERY:.0f} s in {where}; "
            + _kept(train, len(kept), store.out)
        )
    return "\n".join(lines)


def _kept(train: Sequence[Config], n: int, out: Path) -> str:
    """How many of the SAEs to come are kept."""
    if not n:
        return "its SAEs are not kept"
    which = "SAEs" if n == len(train) else f"SAEs of {n} of {len(train)} cells"
    return f"{which} are kept in {out / 'trainings'}, {sum(map(n_bytes, train)) / GIB:.2g} GiB"


def _resources(configs: list[Config]) -> str:
    """The device, what training a cell takes, and what this machine has."""
    bounds = [
        memory_bound(c.sae.for_width(c.d_model), c.train, c.n_seeds, c.d_model) / 2**30
        for c in configs
    ]
    c = configs[bounds.index(max(bounds))]
    device = resolve_device(c.train.device)
    room = available(device) / 2**30
    return f"{device}, at most {max(bounds):.2g} of {room:.2g} GiB to train a cell"
