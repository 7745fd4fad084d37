"""Permutation test of whether seeds agree more within groups than between groups."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array, Rng
from synthsae.checks import ConfigError, count
from synthsae.stats.values import p_value, per_pair


def group_test(
    matrix: ArrayLike, groups: ArrayLike, *, draws: int = 9999, rng: Rng = 0
) -> tuple[Array, Array]:
    """T and its two-sided p-value, [...] each: do seeds agree more within groups than between?

    T is the mean score of pairs within a group minus that of pairs between groups. The null
    permutes the seeds, rows together with columns (Mantel 1967).

    Args:
        matrix: score of each pair of seeds, [..., S, S]. The diagonal is not read.
        groups: a label for each seed, [S].
        draws: number of random permutations.
        rng: a generator or a seed.

    Raises:
        ConfigError: unless there is a pair within a group and a pair between groups.
    """
    x, label = per_pair("matrix", matrix), np.asarray(groups)
    n = x.shape[-1]
    same = (label[:, None] == label) & ~np.eye(n, dtype=bool) if label.shape == (n,) else None
    if same is None or not 0 < same.sum() < n * (n - 1):
        allowed = f"a label for each of the {n} seeds, with a pair inside a group and a pair across"
        raise ConfigError("groups", label.tolist(), allowed)
    weight = np.where(same, 1 / same.sum(), -1 / (n * (n - 1) - same.sum()))
    gen = np.random.default_rng(rng)
    observed = (x * weight).sum(axis=(-2, -1))
    null = np.empty((*observed.shape, count("draws", draws)))
    for k in range(null.shape[-1]):
        order = gen.permutation(n)
        null[..., k] = (x * weight[np.ix_(order, order)]).sum(axis=(-2, -1))
    return observed, p_value(np.abs(observed), np.abs(null))
