"""Intervals, tests and null distributions in which the seed is the unit of replication.

==========================================================  ======================================
what is wanted                                              function
==========================================================  ======================================
interval of the mean of one number for each seed (EV, L0)   `mean_interval`
interval of the mean of a score of pairs of seeds           `pairwise_interval`
the same from each seed's mean over the other seeds         `row_interval`
(mean p_hat)
interval of any other smooth statistic                      `jackknife_interval`
interval of one latent's p_hat, or of another share of      `binomial_interval`
independent trials
test whether seeds agree more within groups than between    `group_test`
groups
null distribution of a score, if the directions of each     `rotation_null`, then `null_summary`
seed were rotated at random inside a subspace
test whether two groups of seeds differ in one number       `scipy.stats.permutation_test`
for each seed
==========================================================  ======================================

Do two architectures learn different latents? There are eight seeds, four of each architecture, and
the agreement of each pair of seeds:

>>> import numpy as np
>>> from synthsae import stats
>>> architecture = np.repeat(["topk", "relu"], 4)
>>> agreement = np.where(architecture[:, None] == architecture, 0.8, 0.3)
>>> difference, p = stats.group_test(agreement, architecture)
>>> print(f"{difference:.2f}, p = {p:.2f}")
0.50, p = 0.03

Is the agreement of two seeds in a plane more than random rotations of their latents give?

>>> directions = np.tile(np.eye(3)[:2], (2, 1, 1))  # the same two latents in both seeds
>>> plane, live = np.eye(3)[:, :2], np.ones((2, 2), dtype=bool)
>>> def agree(d, live):
...     return (d[0] @ d[1].T).max(axis=1).mean()
>>> null = stats.rotation_null(agree, directions, live, plane, draws=99)
>>> print(f"p = {stats.null_summary(agree(directions, live), null).p:.2f}")
p = 0.01
"""

from synthsae.stats.intervals import (
    Interval,
    binomial_interval,
    jackknife_interval,
    mean_interval,
    pairwise_interval,
    row_interval,
)
from synthsae.stats.nulls import Null, null_summary, rotation_null
from synthsae.stats.permutation import group_test

__all__ = [
    "Interval",
    "Null",
    "binomial_interval",
    "group_test",
    "jackknife_interval",
    "mean_interval",
    "null_summary",
    "pairwise_interval",
    "rotation_null",
    "row_interval",
]
