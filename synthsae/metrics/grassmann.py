"""Distances between subspaces, of equal dimension or not.

Each direction that the smaller subspace lacks counts as an angle of pi/2. Both distances then obey
the triangle inequality across dimensions (Ye and Lim 2016, section 5); principal angles do not.
"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.metrics.subspace import padded_angles


def chordal_distance(a: ArrayLike, b: ArrayLike) -> float:
    """||sin(principal angles)||_2 of the column spans of [D, R1] and [D, R2].

    In [0, sqrt(max(R1, R2))]; ||P_a - P_b||_F / sqrt 2 of the projections for equal dimensions.
    """
    return float(np.linalg.norm(np.sin(padded_angles(a, b))))


def geodesic_distance(a: ArrayLike, b: ArrayLike) -> float:
    """||principal angles||_2 of two column spans, in radians, in [0, sqrt(max(R1, R2)) pi / 2]."""
    return float(np.linalg.norm(padded_angles(a, b)))
