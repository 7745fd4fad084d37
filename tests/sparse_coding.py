"""Exact sparse codes of small problems, by enumeration."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array


def exact_l0_loss(samples: ArrayLike, atoms: ArrayLike, k: int) -> Array:
    """min ||x - a^T atoms||^2 over codes a >= 0 with at most k non-zeros, for each sample, [n].

    The optimum on its own support is a least-squares fit with positive coefficients. So the best
    non-negative fit over all supports of 1 to k atoms is exact: binom(m, k) small solves, m up to
    about 20. `samples` [n, R], `atoms` [m, R]. Supports of dependent atoms are skipped, since a
    smaller support (Caratheodory) does as well.
    """
    x, d = np.asarray(samples, dtype=float), np.asarray(atoms, dtype=float)
    captured = np.zeros(len(x))
    against = x @ d.T
    for size in range(1, min(k, *d.shape) + 1):
        for support in map(list, combinations(range(len(d)), size)):
            gram = d[support] @ d[support].T
            if np.linalg.cond(gram) < 1e12:
                fit = np.linalg.solve(gram, against[:, support].T)
                gain = (fit * against[:, support].T).sum(axis=0)
                captured = np.where((fit >= 0).all(axis=0), np.maximum(captured, gain), captured)
    return np.maximum((x**2).sum(axis=1) - captured, 0.0)
