"""Cosines between directions, one-to-one matching, and the scores built on them.

Signed is the default: with ReLU codes `v` and `-v` are different latents. Live-only forms take the
live rows, or a `live` mask where there is a stack of seeds. Reappearance has a file of its own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.checks import ConfigError, Shown
from synthsae.definitions import DEFAULTS
from synthsae.geometry import unit
from synthsae.metrics.reappearance import THETA, found, reappearance

__all__ = [
    "THETA",
    "Summary",
    "assign",
    "cosines",
    "found",
    "match",
    "matched_cosines",
    "max_cosines",
    "mcc",
    "mmcs",
    "pairwise_mcc",
    "pairwise_mmcs",
    "reappearance",
    "summarise",
]


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def cosines(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Array:
    """C[i, j] = <a_i, b_j> / (|a_i| |b_j|): [..., M, D], [..., N, D] -> [..., M, N].

    A zero row has cosine 0 with everything. Raises ValueError for shapes that do not fit and for
    values that are not finite.
    """
    x = checks.array("a", a, "[..., M, D]")
    y = checks.array("b", b, "[..., N, D]")
    checks.same_shape("b's rows", y.shape[-1:], "a's rows", x.shape[-1:])
    checks.broadcastable("b", y.shape[:-2], "a", x.shape[:-2])
    c = np.clip(unit(x) @ unit(y).mT, -1.0, 1.0)
    return np.abs(c) if absolute else c


def max_cosines(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Array:
    """max_j C[i, j] for every row of `a`, many-to-one: [..., M, D], [..., N, D] -> [..., M].

    0 where `b` has no rows. Errors as `cosines`.
    """
    c = cosines(a, b, absolute)
    return c.max(axis=-1) if c.shape[-1] else np.zeros(c.shape[:-1])


def mmcs(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> float:
    """MMCS: mean over the rows of `a` of the max cosine (Sharkey et al. 2022), [M, D], [N, D].

    Many-to-one and not symmetric. NaN where `a` has no rows. Errors as `cosines`.
    """
    checks.array("a", a, "[M, D]")
    checks.array("b", b, "[N, D]")
    return _mean(max_cosines(a, b, absolute))


def assign(scores: ArrayLike) -> tuple[Index, Index]:
    """The one-to-one assignment with the largest total score (Hungarian), [M, N] -> (rows, cols).

    min(M, N) pairs, rows ascending. Cubic at worst; timed in benchmarks/RESULTS.md. Raises
    ValueError for scores that are not finite.
    """
    return linear_sum_assignment(checks.array("scores", scores, "[M, N]"), maximize=True)


def match(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> tuple[Index, Index, Array]:
    """`assign` on the cosines of [M, D] and [N, D]: (rows, cols, cosines), min(M, N) each.

    Errors as `cosines`.
    """
    checks.array("a", a, "[M, D]")
    checks.array("b", b, "[N, D]")
    c = cosines(a, b, absolute)
    rows, cols = assign(c)
    return rows, cols, c[rows, cols]


def matched_cosines(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Array:
    """The cosines of `match` alone, [min(M, N)]."""
    return match(a, b, absolute)[2]


def mcc(latents: ArrayLike, features: ArrayLike, absolute: bool = False) -> float:
    """Mean matched cosine of latents [M, D] over the planted features [F, D], in [-1, 1].

    MCC is the mean correlation coefficient, not Matthews': signed as in Song et al. (arXiv
    2505.20254), absolute as in SynthSAEBench (arXiv 2602.14687). Features left without a latent
    (M < F) count 0, where SAELens leaves them out. Raises ValueError where F = 0, else as
    `cosines`.
    """
    n_features = len(checks.array("features", features, "[F, D]"))
    if n_features == 0:
        raise ConfigError("features", Shown(f"shape {np.shape(features)}"), "one row or more")
    return float(matched_cosines(latents, features, absolute).sum() / n_features)


def pairwise_mcc(
    directions: ArrayLike, live: ArrayLike | None = None, absolute: bool = False
) -> Array:
    """PW-MCC (Song et al.): mean matched cosine between two seeds, [S, M, D] -> [S, S].

    The mean runs over the min(live_s, live_t) pairs of live latents; `live` is bool [S, M].
    Symmetric; NaN on the diagonal and where a seed has no live latent. Raises ValueError for
    fewer than two seeds, else as `cosines`.
    """
    rows = _live_rows(directions, live)
    out = np.full((len(rows), len(rows)), np.nan)
    for s in range(len(rows)):
        for t in range(s):
            out[s, t] = out[t, s] = _mean(matched_cosines(rows[s], rows[t], absolute))
    return out


def pairwise_mmcs(
    directions: ArrayLike, live: ArrayLike | None = None, absolute: bool = False
) -> Array:
    """`mmcs` from seed s to seed t over their live latents, [S, M, D] -> [S, S]; not symmetric.

    NaN on the diagonal and where seed s or t has no live latent. Errors as `pairwise_mcc`.
    """
    rows = _live_rows(directions, live)
    out = np.full((len(rows), len(rows)), np.nan)
    for s, a in enumerate(rows):
        for t, b in enumerate(rows):
            if s != t and len(b):
                out[s, t] = mmcs(a, b, absolute)
    return out


class Summary(NamedTuple):
    """A distribution of cosines: `n` values and the `share` of them >= a threshold."""

    n: int
    mean: float
    median: float
    quantiles: Array
    share: float


def summarise(
    values: ArrayLike,
    quantiles: tuple[float, ...] = QUANTILES,
    threshold: float = DEFAULTS.same,
) -> Summary:
    """Mean, median, `quantiles` and share >= `threshold` of matched or max cosines, [n].

    All NaN for no values. Raises ValueError for values, quantiles or a threshold out of range.
    """
    v = checks.array("values", values, "[n]")
    threshold = checks.between("threshold", threshold, -1, 1)
    q = [checks.between("quantiles", p, 0, 1) for p in quantiles]
    if not v.size:
        return Summary(0, np.nan, np.nan, np.full(len(q), np.nan), np.nan)
    share = float(np.mean(v >= threshold))
    return Summary(len(v), float(v.mean()), float(np.median(v)), np.quantile(v, q), share)


def _live_rows(directions: ArrayLike, live: ArrayLike | None) -> list[Array]:
    """The live directions of each of at least two seeds."""
    d = checks.array("directions", directions, "[S, M, D]")
    checks.several_seeds("directions", d.shape)
    alive = checks.mask("live", live, d.shape[:2])
    return [rows[keep] for rows, keep in zip(d, alive, strict=True)]


def _mean(values: Array) -> float:
    """The mean, NaN of nothing."""
    return float(values.mean()) if values.size else np.nan
