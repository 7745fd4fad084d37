"""What a run is going to do, as text that is printed before it starts."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from synthsae.config import Config
from synthsae.study.grid import Grid
from synthsae.study.pending import Pending, to_train
from synthsae.study.store import Store
from synthsae.study.trainings import n_bytes
from synthsae.train import EVERY, available, memory_bound, resolve_device

GIB = 2**30


def summary(
    grid: Grid,
    todo: Sequence[Pending],
    kept: Collection[str],
    store: Store,
    *,
    here: bool = True,
) -> str:
    """A few lines: cells, trainings, axes, seeds, steps, device, memory and what is kept.

    Args:
        grid: all cells of the run.
        todo: the cells that lack a score.
        kept: names of the trainings whose SAEs are going to be saved.
        store: the folder of the study.
        here: whether the cells run in this process, so that its memory can be compared with need.
    """
    configs = [cell.config for cell in grid.cells]
    axes = " x ".join(f"{name} ({', '.join(map(str, v))})" for name, v in grid.axes.items())
    train = [p.cell.config for p in to_train(todo)]
    n_scored, n_trainings = sum(not p.train for p in todo), len({c.training for c in grid.cells})
    seeds = _range(config.n_seeds for config in configs)
    steps, size, data, device = (
        _range(getattr(config.training, name) for config in configs)
        for name in ("n_steps", "batch_size", "data", "device")
    )
    lines = [
        f"{len(grid.cells)} cells"
        + f" of {n_trainings} trainings" * (n_trainings < len(grid.cells))
        + f", {len(train)} to train"
        + (f", {n_scored} to score with SAEs that are there" if n_scored else "")
        + (f": {axes}" if axes else ""),
        f"{seeds} seeds a cell, {steps} steps of {size} samples each, {data} data, "
        f"{_resources(configs) if here else device}",
    ]
    if train:
        where = store.checkpoint("")
        lines.append(
            f"a training that takes minutes saves its state every {EVERY:.0f} s in {where}; "
            + _kept(train, len(kept), store.out)
        )
    return "\n".join(lines)


def _range(values: Iterable[Any]) -> str:
    """`16 to 64` for several values, `16` for one."""
    ordered = sorted(set(values))
    return " to ".join(str(v) for v in dict.fromkeys((ordered[0], ordered[-1])))


def _kept(train: Sequence[Config], n: int, out: Path) -> str:
    """How many of the SAEs that will be trained are saved, and where."""
    if not n:
        return "its SAEs are not kept"
    which = "SAEs" if n == len(train) else f"SAEs of {n} of {len(train)} cells"
    return f"{which} are kept in {out / 'trainings'}, {sum(map(n_bytes, train)) / GIB:.2g} GiB"


def _resources(configs: list[Config]) -> str:
    """The device, the memory that training a cell needs, and the memory that is available."""
    bounds = [
        memory_bound(c.sae.for_width(c.d_model), c.train, c.n_seeds, c.d_model) / GIB
        for c in configs
    ]
    largest = configs[bounds.index(max(bounds))]
    device = resolve_device(largest.train.device)
    free = available(device) / GIB
    return f"{device}, at most {max(bounds):.2g} of {free:.2g} GiB to train a cell"
