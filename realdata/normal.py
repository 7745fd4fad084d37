"""Statistics of activations: rows of extreme norm are left out, the rest is centred and scaled."""

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
"""Largest root mean square of a coordinate that can be scaled in float32; 1 / LARGEST is the
smallest. Without scaling the square root of both applies, because squares must not overflow."""
REPORTED = 0.02
"""Share of a split's rows above which rows left out, or rows of zeros, are reported."""
MOST_LEFT_OUT = 0.1
"""Largest share of a split's rows that `max_norm` may leave out."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of the training rows, and the rows of each split that `max_norm` leaves out.

    Attributes:
        max_norm: largest norm that is kept, in units of `median_norm`; 0 keeps all rows.
        median_norm: median norm of the training rows that are not zero.
        rows: number of rows by split, with those that are left out.
        zero: number of rows that are zero, by split.
        left_out: sorted numbers of the rows that are left out, by split.
        mean: mean of the training rows that are kept, [D].
        square: mean squared norm of the training rows that are kept.
        variance: mean squared distance of the training rows that are kept from their mean.
    """

    max_norm: float
    median_norm: float
    rows: dict[str, int]
    zero: dict[str, int]
    left_out: dict[str, list[int]]
    mean: list[float]
    square: float
    variance: float

    @property
    def about(self) -> dict[str, Any]:
        """Counts of all rows, zero rows and rows left out, by split, and the limit of the norm."""
        counts = {"rows": self.rows, "zero": self.zero}
        counts["left_out"] = {split: len(rows) for split, rows in self.left_out.items()}
        return counts | {"max_norm": self.max_norm, "median_norm": self.median_norm}


class Normal:
    """The map x -> (x - mean) * factor from activations of the model to those for SAEs.

    Attributes:
        mean: mean of the training rows, float32 [D]; 0 if `source.center` is false.
        factor: 1 if `source.scale` is false, else the factor that makes the mean squared norm of
            the training rows D.

    Args:
        found: statistics of the training rows.
        source: the configuration.

    Raises:
        ConfigError: for activations that do not vary, or are too large or small for float32.
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
        """Centred and scaled activations from those of the model, [..., D] each."""
        return (x - self.mean.to(x.device)) * self.factor

    def undo(self, x: Tensor) -> Tensor:
        """Activations of the model from centred and scaled ones, [..., D] each."""
        return x / self.factor + self.mean.to(x.device)

    def fold(self, stack: SAEStack) -> SAEStack:
        """SAEs for the activations of the model, from SAEs for centred and scaled activations.

        Codes are equal up to rounding, because

            W_enc factor (x - (b_dec / factor + mean)) = W_enc (apply(x) - b_dec),

        and reconstructions are those of `undo`. Decoder rows of norm 1 get the norm 1 / factor.
        Thresholds, gates and other biases do not change, because every architecture reads x only
        through its encoder. `save_saelens` can write the result.
        """
        p = stack.params
        folded = {"w_enc": p["w_enc"] * self.factor, "w_dec": p["w_dec"] / self.factor}
        return replace(stack, params=p | folded | {"b_dec": self.undo(p["b_dec"])})


def statistics(folder: Folder, splits: dict[str, Rows], source: SourceConfig) -> Statistics:
    """The statistics of some rows, which are cached in `folder`.

    A share above `REPORTED` of zero rows, or of rows left out, is reported on the screen.

    Args:
        folder: the folder of the cache.
        splits: rows by the name of their split.
        source: the configuration; `max_norm` decides which rows are left out.

    Raises:
        ConfigError: for a row that is not finite, and if more than `MOST_LEFT_OUT` of the rows of a
            split are left out.
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
    _check_left_out(found, source.arrays or f"{source.model}, {source.hook} {source.layer}")
    return found


def _check_left_out(found: Statistics, what: str) -> None:
    """Report rows that are left out or zero; raise ConfigError if too many are left out."""
    for split, n in found.rows.items():
        left_out, zero = len(found.left_out[split]), found.zero[split]
        beyond = f"{found.max_norm:g} times the median norm {found.median_norm:.3g}"
        if left_out > MOST_LEFT_OUT * n:
            allowed = (
                f"at most {MOST_LEFT_OUT:.0%} of the {split} rows left out: {left_out} of {n} are "
                f"beyond {beyond} (source.max_norm=0 keeps all rows)"
            )
            raise ConfigError("source.max_norm", found.max_norm, allowed)
        if left_out > REPORTED * n:
            share = f"{left_out} of {n} {split} rows ({left_out / n:.1%})"
            _report(f"{what}: left out {share}, beyond {beyond}")
        if zero > REPORTED * n:
            _report(f"{what}: {zero} of {n} {split} rows ({zero / n:.1%}) are zero, and are kept")


@cache
def _report(text: str) -> None:
    """Report a text once in a process, although every cell of a grid reads the same rows."""
    progress.say(text)


def _measure(splits: dict[str, Rows], source: SourceConfig, count: progress.Count) -> Statistics:
    """Compute the statistics; `count` is told the rows of all splits, training rows twice."""
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
    if variance < 1e-6 * square:  # the difference is mostly rounding error
        near = (float(((x - mean) ** 2).sum()) for x in _kept(splits["train"], train <= limit))
        variance = sum(near) / n
    left_out = {split: np.flatnonzero(v > limit).tolist() for split, v in norms.items()}
    rows = {split: len(v) for split, v in norms.items()}
    return Statistics(
        source.max_norm, median, rows, zero, left_out, mean.tolist(), square, variance
    )


def _kept(rows: Rows, keep: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Yield the rows where `keep` [n] is true, in float64, in chunks [m, D]."""
    start = 0
    for x in rows.chunks():
        yield x[keep[start : start + len(x)]].astype(np.float64)
        start += len(x)


def _norms(
    rows: Rows, split: str, source: SourceConfig, count: progress.Count
) -> NDArray[np.float64]:
    """The norm of every row, [n].

    Raises ConfigError for a row that is not finite, and if all rows are equal.
    """
    norms, first, differ = np.empty(len(rows)), rows.read(np.zeros(1, np.int64)), len(rows) == 1
    start = 0
    for x in rows.chunks():
        with np.errstate(invalid="ignore"):  # signalling NaNs warn
            norms[start : start + len(x)] = np.linalg.norm(x.astype(np.float64), axis=1)
        differ = differ or bool((x != first).any())
        start += len(x)
        count(len(x))
    if not np.isfinite(norms).all():
        bad = np.flatnonzero(~np.isfinite(norms))
        where = f"the first is row {bad[0]} of the {split} rows"
        text = f"finite activations; {len(bad)} of {len(norms)} are not, in float32 ({where})"
        raise ConfigError("source", source.arrays or source.model, text)
    if not differ:
        allowed = f"activations that vary; all {len(rows)} {split} rows are the same"
        raise ConfigError("source", source.arrays or source.model, allowed)
    return norms
