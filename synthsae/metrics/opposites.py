"""Is a direction one-sided, as a feature with positive magnitudes is, or an axis with two sides?

A feature with positive magnitudes has one direction. A code that is symmetric about 0 has two: with
non-negative activations, an SAE that gives a latent to a direction of a Gaussian (or Laplace) code
gives another one to its opposite. Principal axes of subspaces with unequal variances are therefore
two-sided, though nothing is planted along them (`theory.anisotropy`). So are the true axes of
symmetric sparse codes: geometry alone does not tell these two apart.
"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import array, between
from synthsae.geometry import live_latents, unit
from synthsae.metrics.pairs import close_pairs

OPPOSITE = 0.8
"""Cosine with the negative of a direction from which on a latent counts as its opposite."""


def opposite_found(
    wanted: ArrayLike,
    directions: ArrayLike,
    live: ArrayLike | None = None,
    least: float = OPPOSITE,
) -> Array:
    """Share of the seeds that have a live latent opposite to a direction, [n].

    Args:
        wanted: directions, [n, D].
        directions: decoder directions, [S, M, D].
        live: live latents, bool [S, M]; None: all.
        least: cosine with the negative of a direction from which on a latent is its opposite.
    """
    d, alive = live_latents(directions, live)
    x = unit(array("wanted", wanted, "[n, D]"))
    least = between("least", least, 0, 1)
    each = np.zeros((len(d), len(x)), dtype=bool)
    for found, rows, on in zip(each, d, alive, strict=True):
        found[close_pairs(-x, rows[on], least).i] = True
    return np.mean(each, axis=0)
