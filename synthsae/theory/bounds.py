"""When a sparse dictionary can be unique at all: coherence and sample-size bounds."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import in_range, whole


def welch_bound(m: ArrayLike, n: ArrayLike) -> Array:
    """Least possible coherence of m unit atoms in R^n: sqrt((m - n) / (n (m - 1))), 0 where m <= n.

    tr G = m and rank G <= n give ||G||_F^2 >= m^2 / n for the Gram matrix; its m (m - 1)
    off-diagonal entries then average at least (m - n) / (n (m - 1)) in square (Welch 1974).
    Reached by equiangular tight frames only.
    """
    a, b = whole("m", m).astype(float), whole("n", n).astype(float)
    return np.sqrt(np.maximum(a - b, 0) / (b * np.maximum(a - 1, 1)))


def unique_sparsity(coherence: ArrayLike) -> Array:
    """Largest k < (1 + 1 / mu) / 2: any code of at most k atoms is unique *given the dictionary*.

    Two k-sparse codes of one signal differ by a null vector of 2k entries, so 2k >= spark >= 1 +
    1/mu (Donoho and Elad 2003; Gribonval and Nielsen 2003). Sufficient, noiseless. Whole numbers;
    inf for coherence 0. `coherence` in [0, 1].
    """
    mu = in_range("coherence", coherence, 0, 1)
    with np.errstate(divide="ignore"):
        return np.ceil((1 + 1 / mu) / 2 - 1e-12) - 1
