"""When a sparse dictionary can be unique: bounds on coherence and sparsity."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import in_range, whole


def welch_bound(m: ArrayLike, n: ArrayLike) -> Array:
    """Least possible coherence of m unit atoms in R^n: sqrt((m - n) / (n (m - 1))), 0 for m <= n.

    tr G = m and rank G <= n give ||G||_F^2 >= m^2 / n for the Gram matrix. The mean square of its
    m (m - 1) off-diagonal entries is therefore at least (m - n) / (n (m - 1)) (Welch 1974). Only
    equiangular tight frames reach the bound. Arguments broadcast.
    """
    a, b = whole("m", m).astype(float), whole("n", n).astype(float)
    return np.sqrt(np.maximum(a - b, 0) / (b * np.maximum(a - 1, 1)))


def unique_sparsity(coherence: ArrayLike) -> Array:
    """Largest k < (1 + 1 / mu) / 2: codes of at most k atoms are unique *given the dictionary*.

    Two k-sparse codes of one signal differ by a null vector with at most 2k entries, which would
    need 2k >= spark >= 1 + 1 / mu (Donoho and Elad 2003; Gribonval and Nielsen 2003). The condition
    is sufficient, and without noise.

    Args:
        coherence: mu, in [0, 1], [...].

    Returns:
        Whole numbers, inf for coherence 0, [...].
    """
    mu = in_range("coherence", coherence, 0, 1)
    with np.errstate(divide="ignore"):
        return np.ceil((1 + 1 / mu) / 2 - 1e-12) - 1
