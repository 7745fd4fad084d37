"""Exact sparse codes of small problems, by enumeration or linear programming: oracles."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from synthsae.arrays import Array
from synthsae.theory._check import array, whole


def exact_l0_loss(samples: ArrayLike, atoms: ArrayLike, k: int) -> Array:
    """min ||x - a^T atoms||^2 over codes a >= 0 with at most k non-zeros, per sample, [n].

    The optimum on its own support is a least-squares fit with positive coefficients, so the best of
    all supports of 1..k atoms whose fit is non-negative is exact: binom(m, k) small solves, m up to
    about 20. `samples` [n, R], `atoms` [m, R]; supports of dependent atoms are skipped, since a
    smaller one (Caratheodory) does as well.
    """
    x = array("samples", samples, (None, None))
    d = array("atoms", atoms, (None, x.shape[1]))
    captured = np.zeros(len(x))
    against = x @ d.T
    for size in range(1, min(int(whole("k", k)), *d.shape) + 1):
        for support in map(list, combinations(range(len(d)), size)):
            gram = d[support] @ d[support].T
            if np.linalg.cond(gram) < 1e12:
                fit = np.linalg.solve(gram, against[:, support].T)
                gain = (fit * against[:, support].T).sum(axis=0)
                captured = np.where((fit >= 0).all(axis=0), np.maximum(captured, gain), captured)
    return np.maximum((x**2).sum(axis=1) - captured, 0.0)


def exact_l1_code(x: ArrayLike, atoms: ArrayLike) -> Array | None:
    """The code a >= 0 of least sum with a^T atoms = x exactly, [m]; None where there is none.

    A linear programme (HiGHS). `x` [R], `atoms` [m, R].
    """
    y = array("x", x, (None,))
    d = array("atoms", atoms, (None, len(y)))
    answer = linprog(np.ones(len(d)), A_eq=d.T, b_eq=y, bounds=(0, None))
    return answer.x if answer.status == 0 else None
