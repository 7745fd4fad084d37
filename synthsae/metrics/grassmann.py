"""Distances between subspaces, of equal dimension or not.

Directions that the smaller subspace lacks count as angle pi/2, which keeps both a metric across
dimensions (Ye and Lim 2016, section 5). Unlike angles, distances obey the triangle inequality.
"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.metrics.subspace import padded_angles


def chordal_distance(a: ArrayLike, b: ArrayLike) -> float:
    """||sin(angles)||_2 of the spans of the columns of [D, R1] and [D, R2], in [0, sqrt(max R)].

    ||P_a - P_b||_F / sqrt 2 for equal dimensions. Errors as `subspace.principal_angles`.
    """
    return float(np.linalg.norm(np.sin(padded_angles(a, b))))


def geodesic_distance(a: ArrayLike, b: ArrayLike) -> float:
    """||angles||_2, the arc length between two spans, in [0, sqrt(max R) pi/2]. Radians."""
    return float(np.linalg.norm(padded_angles(a, b)))
