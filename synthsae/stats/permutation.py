"""Permutation tests: of two groups of seeds, of paired differences, of groups that agree within."""

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, within
from synthsae.stats.values import Rng, finite, p_value, square


def permutation_test(a: ArrayLike, b: ArrayLike, *, draws: int = 9999, rng: Rng = 0) -> Array:
    """Two-sided p-value [...] that seeds `a` [..., S_a] and `b` [..., S_b] differ in mean.

    Under the null the seeds are exchangeable: p = (1 + #{|T*| >= |T|}) / (1 + draws) over random
    relabellings (Phipson and Smyth 2010: never 0, and never above its level).
    """
    x, y = finite("a", a, least=1), finite("b", b, least=1)
    if x.shape[:-1] != y.shape[:-1]:
        allowed = f"{x.shape[:-1]} before the seeds, as a has"
        raise ConfigError("b", Shown(f"shape {y.shape}"), allowed)
    within("draws", draws, 1)
    both = np.concatenate([x, y], axis=-1)
    n, n_a = both.shape[-1], x.shape[-1]
    order = np.random.default_rng(rng).permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    weight = np.where(order < n_a, 1 / n_a, -1 / (n - n_a))
    return p_value(np.abs(x.mean(axis=-1) - y.mean(axis=-1)), np.abs(both @ weight.T))


def sign_flip_test(differences: ArrayLike, *, draws: int = 9999, rng: Rng = 0) -> Array:
    """Two-sided p-value [...] of paired per-seed `differences` [..., S] being symmetric about 0.

    All 2^S sign patterns where those are at most `draws` (then p is exact, at least 2^(1-S)),
    random ones beyond.
    """
    x = finite("differences", differences)
    within("draws", draws, 1)
    n = x.shape[-1]
    observed = np.abs(x.mean(axis=-1))
    if 2**n <= draws:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        null = np.abs(x @ signs.T) / n
        return (null >= observed[..., None] * (1 - 1e-12)).mean(axis=-1)
    signs = np.random.default_rng(rng).choice([-1.0, 1.0], (draws, n))
    return p_value(observed, np.abs(x @ signs.T) / n)


def group_test(
    matrix: ArrayLike, groups: ArrayLike, *, draws: int = 9999, rng: Rng = 0
) -> tuple[Array, Array]:
    """(T, two-sided p), each [...]: do seeds of one group agree more than seeds of different ones?

    T = mean of `matrix` [..., S, S] over pairs within a group minus its mean over pairs between
    groups; whole seeds are relabelled, rows with their columns (Mantel's test). `groups` [S].
    """
    x, label = square(matrix), np.asarray(groups)
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
    return observed, p_value(np.abs(observed), np.abs(null))
