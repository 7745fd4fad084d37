"""Directions, frames and rotations: the plain linear algebra that everything else stands on."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array

SMALL = 1e-150  # norm below which float64 cannot square a vector's entries


def unit(vectors: ArrayLike) -> Array:
    """`vectors` [..., D] scaled to norm 1; a zero vector stays zero.

    Raises ValueError for values that are not finite.
    """
    x = np.asarray(vectors, dtype=float)
    with np.errstate(over="ignore"):
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
    odd = ~((norm > SMALL) & (norm < 1 / SMALL))[..., 0]  # zero, or its squares are not exact
    if odd.any():
        largest = np.abs(x[odd]).max(axis=-1, keepdims=True, initial=np.nextafter(0, 1))
        if bad := int((~np.isfinite(largest)).sum()):
            text = f"vectors: {bad} of {norm.size} not finite; allowed: finite numbers"
            raise ValueError(text)
        x = x.copy()
        x[odd] /= largest
        norm[odd] = np.linalg.norm(x[odd], axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def haar(n: int, rng: np.random.Generator, size: tuple[int, ...] = ()) -> Array:
    """Haar-random elements of O(n), [*size, n, n].

    QR of a Gaussian matrix with the signs of R's diagonal moved into Q (Mezzadri 2007); the batched
    twin of `scipy.stats.ortho_group`.
    """
    q, r = np.linalg.qr(rng.standard_normal((*size, n, n)))
    sign = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return q * sign[..., None, :]


def tight_frame(n: int, d: int, rng: np.random.Generator) -> Array:
    """`n` unit rows in R^d, as incoherent as one polar step makes random ones, [n, d].

    The polar factor of a Gaussian matrix: an orthonormal set (uniform among them) where n <= d,
    else a tight frame, which has the least total squared coherence (Benedetto and Fickus 2003), and
    only nearly so once its rows are scaled to norm 1.
    """
    u, _, vt = np.linalg.svd(rng.standard_normal((n, d)), full_matrices=False)
    return unit(u @ vt)
