"""Unit vectors, random rotations and tight frames."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array, Mask
from synthsae.checks import array, count, finite, mask, numbers, of_shape, several_seeds

SMALL = 1e-150
"""Squares of the entries underflow below this norm, and overflow above its inverse."""


def unit(vectors: ArrayLike) -> Array:
    """`vectors` [..., D] scaled to norm 1; a zero vector stays zero.

    Raises:
        ConfigError: for values that are not finite numbers.
    """
    x = numbers("vectors", vectors)
    of_shape("vectors", x, "[..., D]")
    with np.errstate(over="ignore"):
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
    extreme = ~((norm > SMALL) & (norm < 1 / SMALL))[..., 0]  # zero, tiny, huge or not finite
    if extreme.any():
        finite("vectors", x)
        largest = np.abs(x[extreme]).max(axis=-1, keepdims=True, initial=np.nextafter(0, 1))
        x = x.copy()
        x[extreme] /= largest
        norm[extreme] = np.linalg.norm(x[extreme], axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def live_latents(directions: ArrayLike, live: ArrayLike | None) -> tuple[Array, Mask]:
    """Directions scaled to norm 1, [S, M, D], and which of them are live latents, bool [S, M].

    Args:
        directions: decoder directions, [S, M, D] with S >= 2. A row of zeros is not a live latent,
            whatever `live` says.
        live: which latents are live, bool [S, M]; None marks all rows that are not zero.

    Raises:
        ConfigError: for other shapes, and for values that are not finite.
    """
    x = array("directions", directions, "[S, M, D]")
    several_seeds("directions", x.shape)
    return unit(x), mask("live", live, x.shape[:2]) & x.any(axis=2)


def haar(n: int, rng: np.random.Generator, size: tuple[int, ...] = ()) -> Array:
    """Haar-random orthogonal matrices, [*size, n, n].

    QR decomposition of Gaussian matrices, with the signs of R's diagonal moved into Q (Mezzadri
    2007). `scipy.stats.ortho_group` has the same distribution, for one matrix at a time.

    Raises:
        ConfigError: for a negative `n`.
    """
    n = count("n", n, 0)
    q, r = np.linalg.qr(rng.standard_normal((*size, n, n)))
    sign = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return q * sign[..., None, :]


def tight_frame(n: int, d: int, rng: np.random.Generator) -> Array:
    """`n` random unit rows in R^d with low coherence, [n, d].

    The rows are the polar factor of a Gaussian matrix, scaled to norm 1. For n <= d they are
    orthonormal, and uniform among orthonormal sets. For n > d the polar factor is a tight frame,
    which has the least total squared coherence (Benedetto and Fickus 2003); scaling its rows to
    norm 1 keeps this only approximately.

    Raises:
        ConfigError: for a negative `n`, and for `d` below 1.
    """
    shape = count("n", n, 0), count("d", d)
    u, _, vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return unit(u @ vt)
