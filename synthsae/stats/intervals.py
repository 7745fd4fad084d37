"""Intervals with the seed as the unit of replication.

The S (S - 1) scores of pairs of seeds are not independent, because pairs share seeds. The interval
of their mean is a jackknife that leaves out one seed at a time, with all of its pairs. This table
has the measured coverage of nominal 95% intervals at 5, 8 and 20 seeds, with 2,000 repetitions
(`python tests/stats/test_stats.py` prints it, and its tests repeat it on a smaller scale):

========================  ==============  ==============  ==============  ==============
scores of pairs           self-pairs      bootstrap       rows            jackknife
========================  ==============  ==============  ==============  ==============
seeds differ, pairs less  .49  .35  .56   .78  .86  .91   .64  .67  .66   .95  .95  .95
seeds and pairs differ    .49  .39  .58   .86  .88  .92   .68  .68  .67   .97  .95  .95
p_hat of cross-polytopes  .93  .95  .98   .98  .99  1.00  .82  .83  .85   .99  .99  .99
p_hat of uniform atoms    .67  .75  .84   .97  .99  .99   .85  .82  .75   .99  .98  .98
========================  ==============  ==============  ==============  ==============

*Bootstrap* resamples seeds and drops pairs of a seed with itself. *Self-pairs* keeps such pairs
(both are in `tests/seed_bootstrap.py`). *Rows* is `mean_interval` of each seed's mean over the
other seeds. *Jackknife* is `pairwise_interval`; the coverage of `row_interval` is the same within
.01. Only the jackknife reaches its nominal level in every row of the table. In the rows of p_hat,
the seeds have the same directions in R^4 up to a random rotation, so that no seed is better than
another. There the jackknife is wider than necessary.

Scores of the latents that p_hat calls unstable (their share, the mean of a property, their
transfer) also depend on the other seeds. If the directions of each seed lean towards an axis by a
different amount, `row_interval` covers .99 to 1.00 of such scores at 5 and 8 seeds, and
`mean_interval` .86 to .99 (same tests).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta
from scipy.stats import t as student

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, between, count, numbers
from synthsae.stats.values import per_pair, per_seed


class Interval(NamedTuple):
    """An estimate with the lower and upper end of its interval, [...] each."""

    estimate: Array
    low: Array
    high: Array


def jackknife_interval(
    estimate: ArrayLike, leave_one_out: ArrayLike, level: float = 0.95
) -> Interval:
    """Interval of a smooth statistic, from its values with one seed left out at a time.

    Tukey's jackknife (1958): se^2 = (S - 1) / S sum_s (theta_-s - mean theta_-s)^2, with quantiles
    of Student's t distribution with S - 1 degrees of freedom. It does not hold for medians and
    other quantiles, which are not smooth.

    Args:
        estimate: the statistic over all seeds, [...].
        leave_one_out: the statistic without each seed, [..., S] with S >= 2.
        level: nominal coverage.

    Raises:
        ConfigError: for shapes that do not fit, and for a level outside (0, 1).
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
    """Student's t interval of the mean of one number for each seed, which must be independent.

    Numbers that depend on the other seeds, such as a seed's mean p_hat, need `row_interval`: for
    these numbers `mean_interval` covers .64 to .85 at a nominal .95.

    Args:
        values: a number for each seed, [..., S] with S >= 2.
        level: nominal coverage.

    Raises:
        ConfigError: for fewer than two seeds, and for numbers that are not finite.
    """
    x = per_seed("values", values)
    n = x.shape[-1]
    return jackknife_interval(x.mean(axis=-1), (x.sum(axis=-1, keepdims=True) - x) / (n - 1), level)


def pairwise_interval(matrix: ArrayLike, level: float = 0.95) -> Interval:
    """Jackknife interval of the mean off-diagonal entry of a matrix of scores of pairs of seeds.

    With two seeds, low and high are NaN.

    Args:
        matrix: the score of seed s against seed t at [s, t], [..., S, S]. It need not be symmetric.
            The diagonal is not read, so it may be NaN.
        level: nominal coverage.

    Raises:
        ConfigError: for another shape, and for scores that are not finite.
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
    """`pairwise_interval` from the mean score of each seed against the other seeds.

    It holds for scores that are symmetric, or whose row means nearly equal their column means, as
    for p_hat. Without seed s the pairwise mean is then (S mean - 2 rows_s) / (S - 2) (derived
    here), so the interval is 2 (S - 1) / (S - 2) times as wide as that of `mean_interval`. With two
    seeds, low and high are NaN.

    Args:
        rows: mean score of each seed against the others, [..., S].
        level: nominal coverage.

    Raises:
        ConfigError: for fewer than two seeds, and for scores that are not finite.
    """
    x = per_seed("rows", rows)
    n, mean = x.shape[-1], x.mean(axis=-1)
    if n == 2:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    return jackknife_interval(mean, (n * mean[..., None] - 2 * x) / (n - 2), level)


def binomial_interval(hits: ArrayLike, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a probability, from the number of successes in n independent trials.

    Clopper and Pearson (1934): it covers `level` or more, for every probability and n. It is the
    interval of one latent's p_hat: given the latent, the other seeds are independent.

    Args:
        hits: number of successes, 0 to n, [...]; NaN gives NaN.
        n: number of trials.
        level: coverage, at least.

    Raises:
        ConfigError: for hits outside 0 to n.
    """
    k, n = numbers("hits", hits), count("n", n)
    if ((k < 0) | (k > n)).any():
        raise ConfigError("hits", Shown(f"{np.nanmin(k):g} to {np.nanmax(k):g}"), f"0 to {n}")
    tail = (1 - between("level", level, 0, 1, strict=True)) / 2
    low = np.where(k == 0, 0.0, beta.ppf(tail, k, n - k + 1))
    high = np.where(k == n, 1.0, beta.ppf(1 - tail, k + 1, n - k))
    return Interval(k / n, low, high)
