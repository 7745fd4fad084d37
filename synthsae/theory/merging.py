"""Feature merging: a sparse optimum that is not the truth."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.theory._check import real


class Merging(NamedTuple):
    """Costs (mean l1 norm of the code) and what is left of the rarer feature."""

    cost_true: Array
    cost_merged: Array
    best_cosine: Array


def feature_merging(angle: ArrayLike, rho: ArrayLike) -> Merging:
    """Two unit features at `angle` t in (0, pi): y = v1, or v1 + v2 with probability `rho`.

    Non-negative exact codes, equal magnitudes, two learned atoms. A code of y costs at least
    ||y||, so no dictionary costs less than (1 - rho) + rho ||v1 + v2|| = (1 - rho) + 2 rho cos(t /
    2), which {v1, bisector} reaches; the truth {v1, v2} costs 1 + rho. The best learned cosine to
    v2 is then cos(t / 2), or that of v1 where it is larger (never: cos t < cos(t / 2)).
    Broadcasts.
    """
    t = real("angle", angle, np.nextafter(0, 1), np.nextafter(np.pi, 0))
    r = real("rho", rho, 0, 1)
    return Merging(1 + r + 0 * t, 1 - r + 2 * r * np.cos(t / 2), np.cos(t / 2) + 0 * r)
