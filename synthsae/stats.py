"""Intervals, tests and nulls with the seed as the unit of replication.

Pairs of seeds share seeds, so S (S - 1) pairwise scores are far from that many observations. The
default interval of a pairwise mean is a jackknife that leaves out one seed, with all of its pairs,
at a time. Measured coverage of nominal 95% intervals at 5 / 8 / 20 seeds (2,000 repeats; printed by
`python tests/test_stats.py`, whose tests repeat it in small):

========================  ==============  ==============  ==============  ==============
scores of pairs           self-pairs      bootstrap       rows            jackknife
========================  ==============  ==============  ==============  ==============
seeds differ, pairs less  .49  .35  .56   .78  .86  .91   .64  .67  .66   .95  .95  .95
seeds and pairs differ    .49  .39  .58   .86  .88  .92   .68  .68  .67   .97  .95  .95
p_hat of cross-polytopes  .93  .95  .98   .98  .99  1.00  .82  .83  .85   .99  .99  .99
p_hat of uniform atoms    .67  .75  .84   .97  .99  .99   .85  .82  .75   .99  .98  .98
========================  ==============  ==============  ==============  ==============

*Self-pairs* and *bootstrap* are `bootstrap_interval` with and without them, *rows* is
`mean_interval` of each seed's mean over the others, *jackknife* is `pairwise_interval` (and
`row_interval`, to .01). Only the jackknife always holds its level. The p_hat rows are codes rotated
against each other in R^4, where no seed is better than another: there it is wider than it need be.

Scores of the latents that p_hat calls unstable (their share, the mean of a number of theirs, their
transfer) read the other seeds too. Of codes that crowd by seed, `row_interval` covers .99 to 1.00
at 5 and 8 seeds and `mean_interval` .86 to .99 (same tests).
"""

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, numbers, plain, real, within
from synthsae.geometry import haar, unit

if TYPE_CHECKING:
    import xarray as xr

Rng = np.random.Generator | int  # a generator, or a seed for a fresh one
Statistic = Callable[[Array, NDArray[np.bool_]], ArrayLike]


class Interval(NamedTuple):
    """An estimate [...] between the ends of its interval."""

    estimate: Array
    low: Array
    high: Array


class Null(NamedTuple):
    """An observed statistic [...] beside its null: mean, standard deviation, 95% range, p-value."""

    observed: Array
    mean: Array
    sd: Array
    low: Array
    high: Array
    p: Array


def jackknife_interval(
    estimate: ArrayLike, leave_one_out: ArrayLike, level: float = 0.95
) -> Interval:
    """Interval of any statistic from its value [...] and its values without each seed [..., S].

    Tukey's jackknife: se^2 = (S - 1) / S sum_s (theta_-s - mean theta_-s)^2, with Student
    quantiles of S - 1 degrees of freedom. For smooth statistics: a median needs the bootstrap.
    """
    loo, middle = numbers("leave_one_out", leave_one_out), numbers("estimate", estimate)
    if loo.ndim < 1 or loo.shape[-1] < 2 or loo.shape[:-1] != middle.shape:
        allowed = f"{middle.shape} and 2 seeds or more last"
        raise ConfigError("leave_one_out", Shown(f"shape {loo.shape}"), allowed)
    n = loo.shape[-1]
    half = student.ppf((1 + _level(level)) / 2, n - 1) * np.sqrt((n - 1) * loo.var(axis=-1))
    return Interval(middle, middle - half, middle + half)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """t interval of the mean of one independent number per seed: `values` [..., S].

    The jackknife of a mean. For numbers that are pairwise underneath, such as a seed's mean p_hat
    over the other seeds, use `pairwise_interval` or `row_interval`: this one covers .64
    to .85.
    """
    x = _finite("values", values)
    n = x.shape[-1]
    return jackknife_interval(x.mean(axis=-1), (x.sum(axis=-1, keepdims=True) - x) / (n - 1), level)


def pairwise_interval(matrix: ArrayLike, level: float = 0.95) -> Interval:
    """Jackknife interval of the mean off-diagonal entry of `matrix` [..., S, S].

    Entry [s, t] scores seed s against seed t and need not be symmetric; the diagonal is not read
    (it may be NaN). With two seeds there is a mean and no interval: low and high are NaN.
    """
    x = _pairs(matrix)
    n = x.shape[-1]
    total = x.sum(axis=(-2, -1))
    mean = total / (n * (n - 1))
    if n == 2:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    without = total[..., None] - x.sum(axis=-1) - x.sum(axis=-2)
    return jackknife_interval(mean, without / ((n - 1) * (n - 2)), level)


def row_interval(rows: ArrayLike, level: float = 0.95) -> Interval:
    """`pairwise_interval` from its row means alone: `rows` [..., S], seed s against all others.

    For measures that are symmetric, or whose row and column means are alike (p_hat): without seed s
    the pairwise mean is (S mean - 2 rows_s) / (S - 2), so the interval is that of `mean_interval`
    widened by 2 (S - 1) / (S - 2). NaN ends with two seeds.
    """
    x = _finite("rows", rows)
    n, mean = x.shape[-1], x.mean(axis=-1)
    if n == 2:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    return jackknife_interval(mean, (n * mean[..., None] - 2 * x) / (n - 2), level)


def bootstrap_interval(
    matrix: ArrayLike,
    level: float = 0.95,
    *,
    self_pairs: bool = False,
    draws: int = 2000,
    rng: Rng = 0,
) -> Interval:
    """Percentile seed bootstrap of a pairwise mean, `matrix` [..., S, S]: not the default.

    A seed drawn twice pairs with itself. By default such pairs are dropped; `self_pairs` keeps
    them, as naive code does, with the matrix's diagonal as their score. Both undercover (table
    above).
    """
    x, level = _pairs(matrix), _level(level)
    within("draws", draws, 1)
    n = x.shape[-1]
    w = np.random.default_rng(rng).multinomial(n, np.full(n, 1 / n), draws).astype(float)
    score, pairs = np.einsum("ks,...st,kt->...k", w, x, w, optimize=True), n**2 - (w**2).sum(axis=1)
    if self_pairs:
        own = _finite("matrix", np.diagonal(numbers("matrix", matrix), axis1=-2, axis2=-1))
        score, pairs = score + own @ (w * (w - 1)).T, np.full(draws, n * (n - 1.0))
    score = score[..., pairs > 0] / pairs[pairs > 0]  # all draws of one seed: no pair left
    low, high = np.quantile(score, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return Interval(x.sum(axis=(-2, -1)) / (n * (n - 1)), low, high)


def interval_coverage(
    interval: Callable[[Array], Interval],
    sample: Callable[[np.random.Generator], Array],
    truth: float,
    *,
    repeats: int = 1000,
    rng: Rng = 0,
) -> float:
    """Share of `repeats` data sets `sample(generator)` whose `interval` contains `truth`."""
    within("repeats", repeats, 1)
    gen = np.random.default_rng(rng)
    ends = (interval(sample(gen)) for _ in range(repeats))
    return sum(bool(e.low <= truth <= e.high) for e in ends) / repeats


def permutation_test(a: ArrayLike, b: ArrayLike, *, draws: int = 9999, rng: Rng = 0) -> Array:
    """Two-sided p-value [...] that seeds `a` [..., S_a] and `b` [..., S_b] differ in mean.

    Under the null the seeds are exchangeable: p = (1 + #{|T*| >= |T|}) / (1 + draws) over random
    relabellings (Phipson and Smyth 2010: never 0, and never above its level).
    """
    x, y = _finite("a", a, least=1), _finite("b", b, least=1)
    if x.shape[:-1] != y.shape[:-1]:
        allowed = f"{x.shape[:-1]} before the seeds, as a has"
        raise ConfigError("b", Shown(f"shape {y.shape}"), allowed)
    within("draws", draws, 1)
    both = np.concatenate([x, y], axis=-1)
    n, n_a = both.shape[-1], x.shape[-1]
    order = np.random.default_rng(rng).permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    weight = np.where(order < n_a, 1 / n_a, -1 / (n - n_a))
    return _p_value(np.abs(x.mean(axis=-1) - y.mean(axis=-1)), np.abs(both @ weight.T))


def sign_flip_test(differences: ArrayLike, *, draws: int = 9999, rng: Rng = 0) -> Array:
    """Two-sided p-value [...] of paired per-seed `differences` [..., S] being symmetric about 0.

    All 2^S sign patterns where those are at most `draws` (then p is exact, at least 2^(1-S)),
    random ones beyond.
    """
    x = _finite("differences", differences)
    within("draws", draws, 1)
    n = x.shape[-1]
    observed = np.abs(x.mean(axis=-1))
    if 2**n <= draws:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        null = np.abs(x @ signs.T) / n
        return (null >= observed[..., None] * (1 - 1e-12)).mean(axis=-1)
    signs = np.random.default_rng(rng).choice([-1.0, 1.0], (draws, n))
    return _p_value(observed, np.abs(x @ signs.T) / n)


def group_test(
    matrix: ArrayLike, groups: ArrayLike, *, draws: int = 9999, rng: Rng = 0
) -> tuple[Array, Array]:
    """(T, two-sided p), each [...]: do seeds of one group agree more than seeds of different ones?

    T = mean of `matrix` [..., S, S] over pairs within a group minus its mean over pairs between
    groups; whole seeds are relabelled, rows with their columns (Mantel's test). `groups` [S].
    """
    x, label = _pairs(matrix), np.asarray(groups)
    n = x.shape[-1]
    same = (label[:, None] == label) & ~np.eye(n, dtype=bool) if label.shape == (n,) else None
    if same is None or not 0 < same.sum() < n * (n - 1):
        allowed = f"a label for each of the {n} seeds, with a pair inside a group and a pair across"
        raise ConfigError("groups", label.tolist(), allowed)
    within("draws", draws, 1)
    weight = np.where(same, 1 / same.sum(), -1 / (n * (n - 1) - same.sum()))
    gen = np.random.default_rng(rng)
    observed = (x * weight).sum(axis=(-2, -1))
    null = np.empty((*observed.shape, draws))
    for k in range(draws):
        order = gen.permutation(n)
        null[..., k] = (x * weight[np.ix_(order, order)]).sum(axis=(-2, -1))
    return observed, _p_value(np.abs(observed), np.abs(null))


def random_direction_null(
    statistic: Statistic, directions: ArrayLike, live: ArrayLike, *, draws: int = 99, rng: Rng = 0
) -> Array:
    """`statistic(directions, live)` with every live direction redrawn uniformly: [draws, ...].

    `directions` [S, M, D] and `live` [S, M]: each seed keeps its live count, so the null is
    matched.
    """
    d, on = _stack(directions, live)
    within("draws", draws, 1)
    gen = np.random.default_rng(rng)
    out = []
    for _ in range(draws):
        fresh = d.copy()
        fresh[on] = unit(gen.standard_normal((int(on.sum()), d.shape[-1])))
        out.append(np.asarray(statistic(fresh, on), dtype=float))
    return np.array(out)


def rotation_null(
    statistic: Statistic,
    directions: ArrayLike,
    live: ArrayLike,
    basis: ArrayLike | None = None,
    *,
    draws: int = 99,
    rng: Rng = 0,
) -> Array:
    """`statistic(directions, live)` with each seed Haar-rotated inside span `basis`: [draws, ...].

    Whole codes move rigidly, with all their angles, and the complement of `basis` [D, R]
    (orthonormal columns; None rotates all of R^D) stays: subspace measures of the block do not
    change, measures of latents fall to the coverage law. The live count is matched because nothing
    is redrawn.
    """
    d, on = _stack(directions, live)
    u = np.eye(d.shape[-1]) if basis is None else numbers("basis", basis)
    rank = u.shape[-1] if u.ndim == 2 else 0
    if u.shape != (d.shape[-1], rank) or not np.allclose(u.T @ u, np.eye(rank), atol=1e-5):
        allowed = f"({d.shape[-1]}, R), orthonormal columns"
        raise ConfigError("basis", Shown(f"shape {u.shape}"), allowed)
    within("draws", draws, 1)
    gen, code, out = np.random.default_rng(rng), d @ u, []
    for _ in range(draws):
        turn = haar(rank, gen, (len(d),)) - np.eye(rank)
        out.append(np.asarray(statistic(d + code @ turn @ u.T, on), dtype=float))
    return np.array(out)


def null_summary(observed: ArrayLike, null: ArrayLike) -> Null:
    """`observed` [...] beside the draws `null` [draws, ...] of its null.

    p = (1 + #{null >= observed}) / (1 + draws), one-sided: large is extreme. Negate both for small.
    """
    x, draws = numbers("observed", observed), numbers("null", null)
    if draws.ndim < 1 or draws.shape[1:] != x.shape or len(draws) < 2:
        allowed = f"2 draws or more of shape {x.shape}"
        raise ConfigError("null", Shown(f"shape {draws.shape}"), allowed)
    _all_finite("observed", x)
    _all_finite("null", draws)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    p = _p_value(x, np.moveaxis(draws, 0, -1))
    return Null(x, draws.mean(axis=0), draws.std(axis=0, ddof=1), low, high, p)


def labelled(
    name: str,
    result: Interval | Null,
    dims: tuple[str, ...] = (),
    coords: dict[str, Any] | None = None,
    **attrs: str,
) -> "xr.Dataset":
    """`result` as an xarray Dataset of `name` and `name`_low, _high (and _mean, _sd, _p of a null).

    `dims` names the axes of the fields; `attrs` (units, long_name) go to every variable.
    """
    import xarray as xr

    first, *rest = result._fields
    names = {first: name} | {field: f"{name}_{field}" for field in rest}
    return xr.Dataset(
        {names[f]: (dims, np.asarray(getattr(result, f)), attrs) for f in result._fields}, coords
    )


def _p_value(observed: Array, null: Array) -> Array:
    """(1 + #{null >= observed}) / (1 + draws), draws last; ties count up to rounding."""
    slack = 1e-12 * np.maximum(1, np.abs(observed))
    return (1 + (null >= (observed - slack)[..., None]).sum(axis=-1)) / (1 + null.shape[-1])


def _finite(name: str, values: ArrayLike, least: int = 2) -> Array:
    """`values` as finite floats with at least `least` seeds on the last axis."""
    x = numbers(name, values)
    if x.ndim < 1 or x.shape[-1] < least:
        allowed = f"{least} or more seeds on the last axis"
        raise ConfigError(name, Shown(f"shape {x.shape}"), allowed)
    _all_finite(name, x)
    return x


def _all_finite(name: str, x: Array) -> None:
    """Refuse NaN and infinities."""
    bad = int((~np.isfinite(x)).sum())
    if bad:
        given = Shown(f"{bad} non-finite in shape {x.shape}")
        raise ConfigError(name, given, "finite numbers (leave out a seed that has none)")


def _pairs(matrix: ArrayLike) -> Array:
    """A copy of `matrix` [..., S, S] with a diagonal of zeros, finite beside it."""
    x = numbers("matrix", matrix).copy()
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ConfigError("matrix", Shown(f"shape {x.shape}"), "[..., S, S]")
    x[..., np.arange(x.shape[-1]), np.arange(x.shape[-1])] = 0.0
    return _finite("matrix", x)


def _stack(directions: ArrayLike, live: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """`directions` [S, M, D] as finite floats and `live` [S, M] as bool."""
    d, on = numbers("directions", directions), plain("live", live)
    if d.ndim != 3:
        raise ConfigError("directions", Shown(f"shape {d.shape}"), "[S, M, D]")
    if on.shape != d.shape[:2] or on.dtype != bool:
        allowed = f"bool of shape {d.shape[:2]}, as directions has"
        raise ConfigError("live", Shown(f"shape {on.shape}, {on.dtype}"), allowed)
    _all_finite("directions", d)
    return d, on


def _level(level: float) -> float:
    """`level` if it is a probability strictly between 0 and 1."""
    x = real("level", level)
    if not 0 < x < 1:
        raise ConfigError("level", level, "strictly between 0 and 1")
    return x
