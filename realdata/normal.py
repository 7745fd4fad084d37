"""What is done to activations when they are read: a cut, the centre and the scale, all recorded."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realdata.cache import Folder
from realdata.rows import Rows
from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig
from synthsae.sae import SAEStack

LARGEST = 1e36
"""Root mean square of a coordinate, and the inverse of the smallest, that float32 can scale; its
root is what float32 can square without scaling."""
SAID = 0.02
"""Share of a split's rows above which a cut, or rows of zeros, are said on the screen."""
MOST = 0.1
"""Share of a split's rows above which a cut is refused."""


@dataclass(frozen=True)
class Statistics:
    """What was found in the training rows, and which rows a cut leaves out.

    Attributes:
        max_norm: the cut, in median norms; 0 is none.
        median_norm: of all training rows that are not zero.
        rows: the number of rows by split, before the cut.
        zero: the number of rows that are zero, by split.
        cut: rows of larger norm than the cut, by split, in order.
        mean: of the training rows that are left, [D].
        square: their mean squared norm.
        variance: their mean squared distance from the mean.
    """

    max_norm: float
    median_norm: float
    rows: dict[str, int]
    zero: dict[str, int]
    cut: dict[str, list[int]]
    mean: list[float]
    square: float
    variance: float

    @property
    def about(self) -> dict[str, Any]:
        """How many rows there are, are zero and are left out, by split, and by which cut."""
        counts = {"rows": self.rows, "zero": self.zero}
        counts["cut"] = {split: len(rows) for split, rows in self.cut.items()}
        return counts | {"max_norm": self.max_norm, "median_norm": self.median_norm}


class Normal:
    """x -> (x - mean) factor, and back. Without centring mean is 0, without scaling factor is 1.

    Attributes:
        mean: [D], float32.
        factor: brings the mean squared norm of the training rows to D.
    """

    def __init__(self, found: Statistics, source: SourceConfig):
        mean, what = np.array(found.mean), source.arrays or source.model
        centre = mean * source.center
        if not found.variance > 1e-14 * found.square:
            share = f"variance {found.variance:.1g}, mean square {found.square:.1g}"
            raise ConfigError("source", what, f"activations that vary, in float32 ({share})")
        spread = found.variance if source.center else found.square
        self.mean = torch.tensor(centre, dtype=torch.float32)
        self.factor = float((len(centre) / spread) ** 0.5) if source.scale else 1.0
        size, most = (spread / len(centre)) ** 0.5, LARGEST if source.scale else LARGEST**0.5
        if not 1 / most <= size <= most:
            allowed = f"activations from {1 / most:.1g} to {most:.1g}, not of size {size:.1g}"
            raise ConfigError("source", what, allowed)

    def apply(self, x: Tensor) -> Tensor:
        """Activations as SAEs see them, from what is in the model, [..., D]."""
        return (x - self.mean.to(x.device)) * self.factor

    def undo(self, x: Tensor) -> Tensor:
        """What is in the model, from activations as SAEs see them, [..., D]."""
        return x / self.factor + self.mean.to(x.device)

    def fold(self, stack: SAEStack) -> SAEStack:
        """The SAEs of `stack`, trained behind `apply`, for what is in the model.

        Same codes, and reconstructions that `undo` need not touch, up to rounding:

            W_enc factor (x - (b_dec / factor + mean)) = W_enc (apply(x) - b_dec)

        and decoder rows, which were unit, have length 1 / factor. Every architecture sees x by its
        encoder alone, so thresholds, gates and biases stay. `save_saelens` writes such a stack.
        """
        p = stack.params
        folded = {"w_enc": p["w_enc"] * self.factor, "w_dec": p["w_dec"] / self.factor}
        return replace(stack, params=p | folded | {"b_dec": self.undo(p["b_dec"])})


def statistics(folder: Folder, splits: dict[str, Rows], source: SourceConfig) -> Statistics:
    """The statistics of a harvest under the cut of `source`, saved in its folder once found.

    Says which share of the rows is zero or left out. Raises ConfigError where a row is not finite,
    and where the cut leaves out more than `MOST` of a split.
    """
    name = f"statistics-{source.max_norm!r}.json"
    try:
        found = Statistics(**json.loads((folder.path / name).read_text()))
    except (OSError, ValueError, TypeError):
        n = sum(map(len, splits.values())) + len(splits["train"])
        with progress.bar("statistics", n, "rows") as count:
            found = _measure(splits, source, count)
        folder.check()
        folder.save(name, json.dumps(asdict(found)).encode())
    _judge(found, source.arrays or f"{source.model}, {source.hook} {source.layer}")
    return found


def _judge(found: Statistics, what: str) -> None:
    """Say, or refuse, what a cut leaves out."""
    for split, n in found.rows.items():
        cut, zero = len(found.cut[split]), found.zero[split]
        beyond = f"{found.max_norm:g} times the median norm {found.median_norm:.3g}"
        if cut > MOST * n:
            allowed = (
                f"a cut that leaves out at most {MOST:.0%} of the {split} rows: {cut} of {n} are "
                f"beyond {beyond}; source.max_norm=0 keeps all"
            )
            raise ConfigError("source.max_norm", found.max_norm, allowed)
        if cut > SAID * n:
            _say(f"{what}: left out {cut} of {n} {split} rows ({cut / n:.1%}), beyond {beyond}")
        if zero > SAID * n:
            _say(f"{what}: zero are {zero} of {n} {split} rows ({zero / n:.1%}), which are kept")


@cache
def _say(text: str) -> None:
    """Once in a process: every cell of a grid reads the same rows."""
    progress.say(text)


def _measure(splits: dict[str, Rows], source: SourceConfig, count: progress.Count) -> Statistics:
    """The statistics; `count` is told of every row of all splits, and of training rows again."""
    norms = {split: _norms(rows, split, source, count) for split, rows in splits.items()}
    zero = {split: int((v == 0).sum()) for split, v in norms.items()}
    train = norms["train"]
    median = float(np.median(train[train > 0])) if train.any() else 0.0
    limit = source.max_norm * median if source.max_norm else np.inf
    n = max(1, int((train <= limit).sum()))
    total, square = np.zeros(splits["train"].d_model), 0.0
    for x in _kept(splits["train"], train <= limit):
        total += x.sum(0)
        square += float((x**2).sum())
        count(len(x))
    mean, square = total / n, square / n
    variance = square - float(mean @ mean)
    if variance < 1e-6 * square:  # rounding would be seen in their difference
        near = (float(((x - mean) ** 2).sum()) for x in _kept(splits["train"], train <= limit))
        variance = sum(near) / n
    cut = {split: np.flatnonzero(v > limit).tolist() for split, v in norms.items()}
    rows = {split: len(v) for split, v in norms.items()}
    return Statistics(source.max_norm, median, rows, zero, cut, mean.tolist(), square, variance)


def _kept(rows: Rows, keep: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """The rows to keep, a few at a time."""
    start = 0
    for x in rows.chunks():
        yield x[keep[start : start + len(x)]].astype(np.float64)
        start += len(x)


def _norms(
    rows: Rows, split: str, source: SourceConfig, count: progress.Count
) -> NDArray[np.float64]:
    """The norm of every row, [n]; raises ConfigError unless all are finite and some differ."""
    norms, first, differ = np.empty(len(rows)), rows.read(np.zeros(1, np.int64)), len(rows) == 1
    start = 0
    for x in rows.chunks():
        with np.errstate(invalid="ignore"):  # a signalling NaN
            norms[start : start + len(x)] = np.linalg.norm(x.astype(np.float64), axis=1)
        differ = differ or bool((x != first).any())
        start += len(x)
        count(len(x))
    if not np.isfinite(norms).all():
        bad = np.flatnonzero(~np.isfinite(norms))
        where = f"row {bad[0]} of the {split} rows is the first"
        text = f"finite activations; {len(bad)} of {len(norms)} are not, in float32; {where}"
        raise ConfigError("source", source.arrays or source.model, text)
    if not differ:
        allowed = f"activations that vary; the {len(rows)} {split} rows are the same"
        raise ConfigError("source", source.arrays or source.model, allowed)
    return norms
