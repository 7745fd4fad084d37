"""Unit vectors, random rotations and tight frames."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array

SMALL = 1e-150  # squares of entries underflow below this norm, and overflow above its inverse


def unit(vectors: ArrayLike) -> Array:
    """`vectors` [..., D] scaled to norm 1; a zero vector stays zero.

    Raises:
        ValueError: for values that are not finite.
    """
    x = np.asarray(vectors, dtype=float)
    with np.errstate(over="ignore"):
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
    extreme = ~((norm > SMALL) & (norm < 1 / SMALL))[..., 0]  # zero, tiny, huge or not finite
    if extreme.any():
        largest = np.abs(x[extreme]).max(axis=-1, keepdims=True, initial=np.nextafter(0, 1))
        if bad := int((~np.isfinite(largest)).sum()):
            text = f"vectors: {bad} of {norm.size} not finite; allowed: finite numbers"
            raise ValueError(text)
        x = x.copy()
        x[extreme] /= largest
        norm[extreme] = np.linalg.norm(x[extreme], axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def haar(n: int, rng: np.random.Generator, size: tuple[int, ...] = ()) -> Array:
    """Haar-random orthogonal matrices, [*size, n, n].

    QR decomposition of Gaussian matrices, with the signs of R's diagonal moved into Q (Mezzadri
    2007). `scipy.stats.ortho_group` has the same distribution, for one matrix at a time.
    """
    q, r = np.linalg.qr(rng.standard_normal((*size, n, n)))
    sign = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return q * sign[..., None, :]


def tight_frame(n: int, d: int, rng: np.random.Generator) -> Array:
    """`n` random unit rows in R^d with low coherence, [n, d].

    The rows are the polar factor of a Gaussian matrix, scaled to norm 1. For n <= d they are
    orthonormal, and uniform among orthonormal sets. For n > d the polar factor is a tight frame,
    which has the least total squared coherence (Benedetto and Fickus 2003); scaling its rows to
    norm 1 keeps this only approximately.
    """
    u, _, vt = np.linalg.svd(rng.standard_normal((n, d)), full_matrices=False)
    return unit(u @ vt)
