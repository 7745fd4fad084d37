"""Intervals with the seed as the unit of replication.

Pairs of seeds share seeds, so S (S - 1) pairwise scores are fewer independent observations than
that. The interval of a pairwise mean is a jackknife: it leaves out one seed at a time, with all of
its pairs. Measured coverage of nominal 95% intervals at 5 / 8 / 20 seeds (2,000 repeats; printed by
`python tests/stats/test_stats.py`, whose tests repeat it in small):

========================  ==============  ==============  ==============  ==============
scores of pairs           self-pairs      bootstrap       rows            jackknife
========================  ==============  ==============  ==============  ==============
seeds differ, pairs less  .49  .35  .56   .78  .86  .91   .64  .67  .66   .95  .95  .95
seeds and pairs differ    .49  .39  .58   .86  .88  .92   .68  .68  .67   .97  .95  .95
p_hat of cross-polytopes  .93  .95  .98   .98  .99  1.00  .82  .83  .85   .99  .99  .99
p_hat of uniform atoms    .67  .75  .84   .97  .99  .99   .85  .82  .75   .99  .98  .98
========================  ==============  ==============  ==============  ==============

*Bootstrap* resamples seeds and drops pairs of a seed with itself, *self-pairs* keeps such pairs
(both are in `tests/seed_bootstrap.py`). *Rows* is `mean_interval` of each seed's mean over the
others. *Jackknife* is `pairwise_interval`; `row_interval` covers the same to .01. Only the
jackknife holds its level in every row. The p_hat rows are codes that are rotated against each other
in R^4, so that no seed is better than another; there the jackknife is wider than it need be.

Scores of the latents that p_hat calls unstable (their share, the mean of a property, their
transfer) depend on the other seeds too. For such scores of codes that lean to an axis by a
different amount in each seed, `row_interval` covers .99 to 1.00 at 5 and 8 seeds and
`mean_interval` .86 to .99 (same tests).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, between, numbers
from synthsae.stats.values import per_pair, per_seed


class Interval(NamedTuple):
    """An estimate with the lower and upper end of its interval, [...] each."""

    estimate: Array
    low: Array
    high: Array


def jackknife_interval(
    estimate: ArrayLike, leave_one_out: ArrayLike, level: float = 0.95
) -> Interval:
    """Interval of any smooth statistic, from its values with one seed left out at a time.

    Tukey's jackknife: se^2 = (S - 1) / S sum_s (theta_-s - mean theta_-s)^2, with Student
    quantiles of S - 1 degrees of freedom. Not for medians and other quantiles.

    Args:
        estimate: the statistic over all seeds, [...].
        leave_one_out: the statistic without each seed, [..., S].
        level: nominal coverage.
    """
    loo, whole = numbers("leave_one_out", leave_one_out), numbers("estimate", estimate)
    if loo.ndim < 1 or loo.shape[-1] < 2 or loo.shape[:-1] != whole.shape:
        allowed = f"{whole.shape} and 2 seeds or more last"
        raise ConfigError("leave_one_out", Shown(f"shape {loo.shape}"), allowed)
    n = loo.shape[-1]
    quantile = student.ppf((1 + between("level", level, 0, 1, strict=True)) / 2, n - 1)
    width = quantile * np.sqrt((n - 1) * loo.var(axis=-1))
    return Interval(whole, whole - width, whole + width)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of one independent number a seed, `values` [..., S].

    For numbers that depend on the other seeds, such as a seed's mean p_hat, use `row_interval`:
    this interval then covers .64 to .85 at a nominal .95.
    """
    x = per_seed("values", values)
    n = x.shape[-1]
    return jackknife_interval(x.mean(axis=-1), (x.sum(axis=-1, keepdims=True) - x) / (n - 1), level)


def pairwise_interval(matrix: ArrayLike, level: float = 0.95) -> Interval:
    """Jackknife interval of the mean off-diagonal entry of `matrix` [..., S, S].

    Entry [s, t] is the score of seed s against seed t. The matrix need not be symmetric, and its
    diagonal is not read, so it may be NaN. With two seeds, low and high are NaN.
    """
    x = per_pair("matrix", matrix)
    n = x.shape[-1]
    total = x.sum(axis=(-2, -1))
    mean = total / (n * (n - 1))
    if n == 2:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    without = total[..., None] - x.sum(axis=-1) - x.sum(axis=-2)
    return jackknife_interval(mean, without / ((n - 1) * (n - 2)), level)


def row_interval(rows: ArrayLike, level: float = 0.95) -> Interval:
    """`pairwise_interval` from each seed's mean score against the other seeds, `rows` [..., S].

    For scores that are symmetric, or whose row means equal their column means nearly, as those of
    p_hat do: without seed s the pairwise mean is (S mean - 2 rows_s) / (S - 2). The interval is
    therefore that of `mean_interval` times 2 (S - 1) / (S - 2). With two seeds, low and high are
    NaN.
    """
    x = per_seed("rows", rows)
    n, mean = x.shape[-1], x.mean(axis=-1)
    if n == 2:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    return jackknife_interval(mean, (n * mean[..., None] - 2 * x) / (n - 2), level)
