"""Coverage of the cross-polytope: the coverage law before training, exact at every threshold.

A block of rank R whose code is the 2R atoms +-e_1 ... +-e_R, turned at random: a latent of another
seed is a uniform unit vector u, and it is found if max_i |u_i| >= theta. One coordinate at a time,

    F_R(t) = P(max_i |u_i| <= t) = integral over |x| <= t of f_R(x) F_{R-1}(t / sqrt(1 - x^2)) dx,

where f_R(x) is the density of one coordinate, proportional to (1 - x^2)^((R - 3) / 2), and the rest
of u is uniform on the sphere of one dimension less, at radius sqrt(1 - x^2). On the circle
F_2(t) = 1 - (4 / pi) arccos t from 1 / sqrt 2 on, and 0 below. `caps.cap_measure` times 2R counts
twice what two caps share, below 1 / sqrt 2, so it is an upper bound there.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import beta

from synthsae.arrays import Array
from synthsae.checks import in_range, whole

_GRID = np.cos(np.linspace(np.pi / 2, 0, 4097))
"""Values of t in [0, 1], dense near 1, where F_R has its square roots."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


def coverage_cross_polytope(rank: ArrayLike, theta: ArrayLike) -> Array:
    """p_hat of a randomly turned block code of 2R atoms +-e_i: P(max_i |u_i| >= theta).

    Args:
        rank: R >= 1, broadcast against `theta`.
        theta: cosine in [0, 1] from which on a latent counts as found.

    Returns:
        Probabilities, with an error of at most 2e-4. At theta .7 they are .8964, .7517, .4795
        and .2862 for R = 3, 4, 6, 8.
    """
    r, t = np.broadcast_arrays(whole("rank", rank), in_range("theta", theta, 0, 1))
    found = [1 - np.interp(np.arccos(x), np.arccos(_GRID)[::-1], _below(int(n))[::-1])
             for n, x in zip(r.ravel(), t.ravel(), strict=True)]  # fmt: skip
    return np.reshape(found, r.shape)


@lru_cache
def _below(rank: int) -> Array:
    """F_R on `_GRID`."""
    if rank == 1:
        return (_GRID >= 1).astype(float)
    if rank == 2:
        return np.where(_GRID >= 0.5**0.5, 1 - 4 / np.pi * np.arccos(np.minimum(_GRID, 1)), 0.0)
    # x = sin(a): the density of a is proportional to cos(a)^(R - 2)
    half = np.arcsin(_GRID)[:, None] / 2
    a = half * (_NODES + 1)
    rest = np.minimum(_GRID[:, None] / np.cos(a), 1)
    inner = np.interp(np.arccos(rest), np.arccos(_GRID)[::-1], _below(rank - 1)[::-1])
    mass = beta((rank - 1) / 2, 0.5)  # integral of cos(a)^(R - 2) over a
    return 2 / mass * (half * _WEIGHTS * np.cos(a) ** (rank - 2) * inner).sum(axis=1)
