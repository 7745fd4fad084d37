"""What is done to activations when they are read: a cut, the centre and the scale, all recorded."""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realdata.cache import Folder
from realdata.config import SourceConfig
from realdata.rows import Rows
from synthsae.checks import ConfigError
from synthsae.sae import SAEStack


@dataclass(frozen=True)
class Statistics:
    """What was found in the training rows, and which rows a cut leaves out.

    Attributes:
        max_norm: the cut, in median norms; 0 is none.
        median_norm: of all training rows.
        cut: rows of larger norm than the cut, by split, in order.
        mean: of the training rows that are left, [D].
        square: their mean squared norm.
    """

    max_norm: float
    median_norm: float
    cut: dict[str, list[int]]
    mean: list[float]
    square: float


class Normal:
    """x -> (x - mean) factor, and back. Without centring mean is 0, without scaling factor is 1.

    Attributes:
        mean: [D], float32.
        factor: brings the mean squared norm of the training rows to D.
    """

    def __init__(self, found: Statistics, source: SourceConfig):
        centre = np.array(found.mean) * source.center
        spread = found.square - float(np.array(found.mean) @ centre)
        if source.scale and not spread > 1e-12 * found.square:
            raise ConfigError("source", source.arrays or source.model, "activations that vary")
        self.mean = torch.tensor(centre, dtype=torch.float32)
        self.factor = float((len(centre) / spread) ** 0.5) if source.scale else 1.0

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

    Raises ConfigError where a row is not finite.
    """
    name = f"statistics-{source.max_norm!r}.json"
    try:
        return Statistics(**json.loads((folder.path / name).read_text()))
    except (OSError, ValueError, TypeError):
        found = _measure(splits, source)
    folder.save(name, json.dumps(asdict(found)).encode())
    return found


def _measure(splits: dict[str, Rows], source: SourceConfig) -> Statistics:
    norms = {split: _norms(rows, split, source) for split, rows in splits.items()}
    median = float(np.median(norms["train"]))
    limit = source.max_norm * median if source.max_norm else np.inf
    total, square = np.zeros(splits["train"].d_model), 0.0
    start = 0
    for x in splits["train"].chunks():
        kept = x[norms["train"][start : start + len(x)] <= limit].astype(np.float64)
        start += len(x)
        total += kept.sum(0)
        square += float((kept**2).sum())
    n = int((norms["train"] <= limit).sum())
    cut = {split: np.flatnonzero(v > limit).tolist() for split, v in norms.items()}
    return Statistics(source.max_norm, median, cut, (total / n).tolist(), square / n)


def _norms(rows: Rows, split: str, source: SourceConfig) -> NDArray[np.float64]:
    """The norm of every row, [n]; raises ConfigError unless all are finite."""
    norms = np.concatenate([np.linalg.norm(x.astype(np.float64), axis=1) for x in rows.chunks()])
    if not np.isfinite(norms).all():
        bad = np.flatnonzero(~np.isfinite(norms))
        where = f"row {bad[0]} of the {split} rows is the first"
        text = f"finite activations; {len(bad)} of {len(norms)} are NaN or infinite, {where}"
        raise ConfigError("source", source.arrays or source.model, text)
    return norms
