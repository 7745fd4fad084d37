"""Reappearance in a pool of several seeds."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import in_range, whole


def pooled_reappearance(p: ArrayLike, n: ArrayLike) -> Array:
    """1 - (1 - p)^n: probability that a latent reappears among n *other, independent* seeds.

    Before near-duplicates are dropped. Average the result over latents, not `p` before: the
    function is concave, so its value at the mean p is too large. Arguments broadcast.
    """
    return 1 - (1 - in_range("p", p, 0, 1)) ** whole("n", n, 0)


def seeds_needed(p: ArrayLike, target: ArrayLike = 0.95) -> Array:
    """Least whole n with 1 - (1 - p)^n >= target, for target in (0, 1); inf for p = 0."""
    goal = in_range("target", target, 0, 1, strict=True)
    with np.errstate(divide="ignore"):
        n = np.log1p(-goal) / np.log1p(-in_range("p", p, 0, 1))
    return np.maximum(1.0, np.ceil(n - 1e-12))
