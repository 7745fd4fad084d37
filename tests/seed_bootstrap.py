"""The seed bootstrap of a pairwise mean, and the coverage of any interval.

The bootstrap undercovers: it is here to be compared with the jackknife of `synthsae.stats`.
"""

from collections.abc import Callable

import numpy as np

from synthsae.arrays import Array
from synthsae.stats import Interval


def bootstrap_interval(
    x: Array, level: float = 0.95, *, self_pairs: bool = False, draws: int = 500
) -> Interval:
    """Percentile interval of the mean off-diagonal entry of `x` [S, S] over resampled seeds.

    A seed that is drawn twice pairs with itself. By default such pairs are dropped; `self_pairs`
    keeps them, as naive code does, with the diagonal as their score.
    """
    n, off = len(x), x - np.diag(np.diag(x))
    w = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), draws).astype(float)
    total, pairs = ((w @ off) * w).sum(axis=1), n**2 - (w**2).sum(axis=1)
    if self_pairs:
        total, pairs = total + (w * (w - 1)) @ np.diag(x), np.full(draws, n * (n - 1.0))
    means = total[pairs > 0] / pairs[pairs > 0]  # draws of one seed alone have no pair
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(off.sum() / (n * (n - 1)), low, high)


def interval_coverage(
    interval: Callable[[Array], Interval],
    sample: Callable[[np.random.Generator], Array],
    truth: float,
    *,
    repeats: int = 1000,
    rng: int = 0,
) -> float:
    """Share of `repeats` data sets `sample(generator)` whose `interval` contains `truth`."""
    gen = np.random.default_rng(rng)
    ends = (interval(sample(gen)) for _ in range(repeats))
    return sum(bool(e.low <= truth <= e.high) for e in ends) / repeats
