"""A study: a question, a base config, axes, measures and a figure. Its grid, and running it.

python -m synthsae.study rank_sweep
"""

import inspect
import io
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from synthsae.config import Config, digest, override
from synthsae.results import Measure, run_cell
from synthsae.store import Store
from synthsae.train import group_size, resolve_device

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Study:
    """What a study file defines, under the name `study`.

    Attributes:
        question: one sentence, printed first.
        base: the config of a cell, before the axes.
        axes: values of config fields by dotted name; their product is the grid, and the last part
            of a field's name is its dimension in the Dataset.
        measures: functions of a `results.Run` that return labelled Datasets, merged in a cell.
        figure: draws the saved Dataset.
        finding: says in one sentence what the saved Dataset shows.
        quick: fields and axes that `--quick` changes.
    """

    question: str
    base: Config
    axes: Mapping[str, Sequence[Any]]
    measures: Sequence[Measure]
    figure: "Callable[[xr.Dataset], Figure]"
    finding: Callable[[xr.Dataset], str]
    quick: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One point of a grid: its config, and the hash that names its file."""

    config: Config
    digest: str


@dataclass(frozen=True)
class Grid:
    """The cells of one call.

    Attributes:
        axes: dimension name -> values, in order.
        cells: one for each point of the product of the axes, the last axis fastest.
        digest: hash of all cells.
    """

    axes: dict[str, list[Any]]
    cells: list[Cell]
    digest: str


def plan(study: Study, changes: Mapping[str, Any], *, quick: bool = False) -> Grid:
    """The grid of `study` with `changes` made: a field's value, or a list of them for an axis.

    Every cell's config is checked here, before anything runs: raises ConfigError.
    """
    settings = {**study.axes, **(study.quick if quick else {}), **changes}
    axes = {
        f: v if isinstance(v, list | tuple) else [v]
        for f, v in settings.items()
        if _is_axis(study, f, v)
    }
    fixed = {f: v for f, v in settings.items() if f not in axes}
    measures = [_source(measure) for measure in study.measures]
    values: dict[str, list[Any]] = {f.rsplit(".", 1)[-1]: [] for f in axes}
    cells = {}
    for choice in product(*axes.values()):
        config = override(study.base, fixed | dict(zip(axes, choice, strict=True)))
        resolve_device(config.train.device)
        cell = Cell(config, digest(config.to_json(), *measures))
        cells[cell.digest] = cell
        for f, seen in zip(axes, values.values(), strict=True):
            value = config.get(f)
            if value not in seen:
                seen.append(value)
    return Grid(values, list(cells.values()), digest(*cells))


def run(name: str, study: Study, grid: Grid, out: Path) -> int:
    """Train what is missing of `grid`, save Dataset and figure, say what was found.

    Cells are saved one by one, so a killed run goes on where it stopped. Returns the number of
    cells that failed; their configs are printed and the others are kept.
    """
    store = Store(out, name)
    found = {cell.digest: store.read(cell.digest) for cell in grid.cells}
    for path in store.damaged:
        print(f"damaged: {path} does not match its checksum; it is computed again")
    todo = [cell for cell in grid.cells if found[cell.digest] is None]
    print(f"{name}: {study.question}\n{summary(grid, len(todo))}", flush=True)
    failed: list[tuple[Cell, Exception]] = []
    steps = sum(cell.config.n_seeds * cell.config.train.n_steps for cell in todo)
    every = 0.2 if sys.stderr.isatty() else 20.0  # seconds between redraws; a log wants few lines
    with tqdm(total=steps, unit=" seed-steps", mininterval=every, disable=not todo) as bar:
        for i, cell in enumerate(todo):
            bar.set_description(f"cell {i + 1} of {len(todo)}", refresh=False)
            try:
                result = compute(cell, study.measures, bar.update)
            except Exception as error:  # a failing cell must not lose the others
                failed.append((cell, error))
                continue
            store.write(cell.digest, result)
            found[cell.digest] = result
            if frozen := json.loads(result.attrs["frozen"]):
                bar.write(f"cell {i + 1}: not finite, and left out: {frozen} (seed: step)")
    for cell, why in failed:
        print(f"failed: {type(why).__name__}: {why}\n  config: {cell.config.to_json()}")
    done = {key: cell for key, cell in found.items() if cell is not None}
    if done:
        dataset = assemble(grid, done)
        dataset.attrs |= {"study": name, "question": study.question}
        store.assemble(dataset)
        present(name, study, store)
    return len(failed)


def compute(
    cell: Cell, measures: Sequence[Measure], progress: Callable[[int], object]
) -> xr.Dataset:
    """Train one cell and measure it; seeds that froze are NaN."""
    began = time.perf_counter()
    trained = run_cell(cell.config, progress)
    dataset = xr.merge(
        [measure(trained) for measure in measures], join="exact", compat="no_conflicts"
    )
    seeds = {dim: list(cell.config.seeds) for dim in dataset.dims if str(dim).startswith("seed")}
    dataset = dataset.reindex(seeds)
    dataset.attrs = provenance(cell.config) | {
        "config": cell.config.to_json(),
        "frozen": json.dumps(trained.frozen),
        "wall_seconds": time.perf_counter() - began,
    }
    return dataset


def assemble(grid: Grid, cells: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """One Dataset over the axes; cells that are missing are NaN."""
    blank = xr.full_like(next(iter(cells.values())).astype(float), np.nan)
    parts = [cells.get(cell.digest, blank) for cell in grid.cells]
    for name, values in reversed(grid.axes.items()):
        labels = [str(v) for v in values] if None in values else values
        index = xr.IndexVariable(name, labels)
        parts = [
            xr.concat(
                parts[i : i + len(values)],
                index,
                data_vars="all",
                coords="minimal",
                compat="override",
                join="outer",
                combine_attrs="drop_conflicts",
            )
            for i in range(0, len(parts), len(values))
        ]
    dataset = parts[0].copy()
    frozen = {key: json.loads(cell.attrs["frozen"]) for key, cell in cells.items()}
    dataset.attrs = {
        key: " and ".join(sorted({cell.attrs[key] for cell in cells.values()}))
        for key in ("git_commit", "versions", "device", "group_size", "precision")
    }
    dataset.attrs |= {
        "hash": grid.digest,
        "config": json.dumps({"base": asdict(grid.cells[0].config), "axes": grid.axes}),
        "frozen": json.dumps({key: seeds for key, seeds in frozen.items() if seeds}),
        "wall_seconds": sum(cell.attrs["wall_seconds"] for cell in cells.values()),
    }
    return dataset


def present(name: str, study: Study, store: Store) -> None:
    """Draw the saved Dataset and say what it shows."""
    dataset = store.open()
    figure = study.figure(dataset)
    for kind in ("png", "pdf"):
        data = io.BytesIO()
        figure.savefig(data, format=kind, dpi=200)
        store.save(f"{name}.{kind}", data.getvalue())
    print(f"\n{study.finding(dataset)}\n\n{store.folder / name}.nc, .png, .pdf")


def summary(grid: Grid, n_todo: int) -> str:
    """What a call is going to do, in two lines."""
    c = grid.cells[0].config
    axes = " x ".join(f"{name} ({', '.join(map(str, v))})" for name, v in grid.axes.items())
    device = resolve_device(c.train.device)
    return (
        f"{len(grid.cells)} cells, {n_todo} to train: {axes}\n"
        f"{c.n_seeds} seeds a cell, {c.train.n_steps} steps of {c.train.batch_size} samples each, "
        f"{c.train.data} data, {device}, float32"
    )


def provenance(config: Config) -> dict[str, str]:
    """Where a cell's numbers come from: code, versions, device, and the seeds in a matmul."""
    packages = ("synthsae", "numpy", "scipy", "torch", "xarray")
    versions = {"python": platform.python_version()} | {p: version(p) for p in packages}
    device, sae = resolve_device(config.train.device), config.sae.for_width(config.world.d_model)
    group = group_size(sae, config.train, config.n_seeds, config.world.d_model)
    return {
        "git_commit": git_commit(),
        "versions": json.dumps(versions),
        "device": str(device),
        "group_size": str(group) if device.type == "cpu" else "what fits the memory",
        "precision": "float32",
    }


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


def _source(measure: Measure) -> str:
    """What a measure does, for a cell's hash: its name and its text."""
    try:
        return f"{measure.__module__}.{measure.__qualname__}\n{inspect.getsource(measure)}"
    except (AttributeError, OSError, TypeError):
        return repr(measure)


def _is_axis(study: Study, name: str, value: Any) -> bool:
    return name in study.axes or isinstance(value, list | tuple)


if __name__ == "__main__":
    from synthsae.cli import main

    sys.exit(main())
