"""Cosines between directions, one-to-one matching, and the scores built on them.

Signed cosines are the default: with ReLU codes, v and -v are different latents. To score live
latents alone, pass the live rows, or a `live` mask where a function takes several seeds.
Reappearance is in `reappearance.py`.
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
from synthsae.metrics.matching import certified_match
from synthsae.metrics.reappearance import THETA, found, nearest, reappearance

__all__ = [
    "THETA",
    "Match",
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


LARGE = 2048
"""Above so many rows a matching of candidates takes less time than that of the whole matrix."""
Match = tuple[Index, Index, Array]
"""Rows, their columns and the cosines of a one-to-one matching."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def cosines(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Array:
    """C[i, j] = <a_i, b_j> / (|a_i| |b_j|), [..., M, N], of rows a [..., M, D] and b [..., N, D].

    A row of zeros has cosine 0 with every row. `absolute` returns |C|.
    """
    x = checks.array("a", a, "[..., M, D]")
    y = checks.array("b", b, "[..., N, D]")
    checks.same_shape("b's rows", y.shape[-1:], "a's rows", x.shape[-1:])
    checks.broadcastable("b", y.shape[:-2], "a", x.shape[:-2])
    c = np.clip(unit(x) @ unit(y).mT, -1.0, 1.0)
    return np.abs(c) if absolute else c


def max_cosines(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Array:
    """max_j C[i, j] of each row of a, [..., M]: many-to-one; a [..., M, D], b [..., N, D].

    0 if `b` has no rows.
    """
    c = cosines(a, b, absolute)
    return c.max(axis=-1) if c.shape[-1] else np.zeros(c.shape[:-1])


def mmcs(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> float:
    """MMCS (Sharkey et al. 2022): mean over the rows of a [M, D] of the max cosine among b [N, D].

    Many-to-one, and not symmetric. NaN if `a` has no rows.
    """
    checks.array("a", a, "[M, D]")
    checks.array("b", b, "[N, D]")
    return _mean(max_cosines(a, b, absolute))


def assign(scores: ArrayLike) -> tuple[Index, Index]:
    """One-to-one assignment with the largest total score (Hungarian), as (rows, cols) of [M, N].

    min(M, N) pairs, rows ascending. Cubic time at worst; benchmarks/RESULTS.md has times.
    """
    return linear_sum_assignment(checks.array("scores", scores, "[M, N]"), maximize=True)


def match(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Match:
    """One-to-one (Hungarian) matching of a [M, D] and b [N, D], as (rows, cols, cosines).

    min(M, N) entries each, rows ascending. Above `LARGE` rows on both sides, candidates are matched
    and the total is shown to be the largest to 1e-9 (`matching`); where that fails, and below, the
    whole matrix of cosines is.
    """
    x, y = checks.array("a", a, "[M, D]"), checks.array("b", b, "[N, D]")
    checks.same_shape("b's rows", y.shape[1:], "a's rows", x.shape[1:])
    swapped = len(x) > len(y)
    small, large = (y, x) if swapped else (x, y)
    if len(small) > LARGE and (seen := certified_match(small, large, absolute)):
        partner, cosine = seen
        if not swapped:
            return np.arange(len(x)), partner, cosine
        order = np.argsort(partner)
        return partner[order], order, cosine[order]
    c = cosines(x, y, absolute)
    rows, cols = assign(c)
    return rows, cols, c[rows, cols]


def matched_cosines(a: ArrayLike, b: ArrayLike, absolute: bool = False) -> Array:
    """Cosines of the matched pairs of a [M, D] and b [N, D], [min(M, N)]; see `match`."""
    return match(a, b, absolute)[2]


def mcc(latents: ArrayLike, features: ArrayLike, absolute: bool = False) -> float:
    """MCC: mean matched cosine over planted features, in [-1, 1].

    MCC is the mean correlation coefficient, not Matthews'. Signed as in Song et al. (arXiv
    2505.20254), absolute as in SynthSAEBench (arXiv 2602.14687). Features without a latent (M < F)
    count 0; SAELens leaves them out.

    Args:
        latents: decoder directions, [M, D].
        features: planted features, [F, D], F >= 1.
        absolute: whether to match and average |cosine|.
    """
    n_features = len(checks.array("features", features, "[F, D]"))
    if n_features == 0:
        raise ConfigError("features", Shown(f"shape {np.shape(features)}"), "one row or more")
    return float(matched_cosines(latents, features, absolute).sum() / n_features)


def pairwise_mcc(
    directions: ArrayLike, live: ArrayLike | None = None, absolute: bool = False
) -> Array:
    """PW-MCC (Song et al., arXiv 2505.20254): mean matched cosine of each pair of seeds, [S, S].

    The mean of seeds s and t runs over min(live_s, live_t) pairs of live latents. The matrix is
    symmetric, with NaN on the diagonal and where a seed has no live latent.

    Args:
        directions: decoder directions, [S, M, D], S >= 2.
        live: which latents are live, bool [S, M]; None stands for all.
        absolute: whether to match and average |cosine|.
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
    """`mmcs` from seed s to seed t over their live latents, [S, S]; not symmetric.

    NaN on the diagonal and where seed s or t has no live latent. Right to 1e-6, as products are
    float32. Arguments as `pairwise_mcc`.
    """
    return nearest(directions, live=live, absolute=absolute).mmcs


class Summary(NamedTuple):
    """Statistics of n cosines; `share` is the share of them at a threshold or above."""

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
    """Mean, median, `quantiles`, and share >= `threshold` of cosines [n]; NaN for n = 0."""
    v = checks.array("values", values, "[n]")
    threshold = checks.between("threshold", threshold, -1, 1)
    q = [checks.between("quantiles", p, 0, 1) for p in quantiles]
    if not v.size:
        return Summary(0, np.nan, np.nan, np.full(len(q), np.nan), np.nan)
    share = float(np.mean(v >= threshold))
    return Summary(len(v), float(v.mean()), float(np.median(v)), np.quantile(v, q), share)


def _live_rows(directions: ArrayLike, live: ArrayLike | None) -> list[Array]:
    """The live directions of each seed; raises ConfigError for fewer than two seeds."""
    d = checks.array("directions", directions, "[S, M, D]")
    checks.several_seeds("directions", d.shape)
    alive = checks.mask("live", live, d.shape[:2])
    return [rows[keep] for rows, keep in zip(d, alive, strict=True)]


def _mean(values: Array) -> float:
    """The mean, NaN of no values."""
    return float(values.mean()) if values.size else np.nan
