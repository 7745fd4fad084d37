"""Do the counterparts of a latent differ by noise, or by free rotation?

Both lower the cosines, and `latent_rank` cannot tell them apart. The deviations can. If codes turn
freely in a subspace of R dimensions, the counterparts of a latent deviate from their mean in the
other R - 1 dimensions of that subspace. If every seed has the same direction with an error of its
own, they deviate in as many dimensions as the errors have. The number of dimensions is the
participation ratio of the covariance of the deviations,

    (sum_i l_i)^2 / sum_i l_i^2   for its eigenvalues l_i,

at most n - 1 for n counterparts. Derived here.
"""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array
from synthsae.definitions import DEFAULTS
from synthsae.geometry import live_latents
from synthsae.metrics.counterparts import Counterparts

LEAST = 4
"""Fewest directions, the latent itself among them, whose deviations are looked at."""
CHUNK = 256  # latents whose counterparts are in memory at a time
ROUNDING = 1e-6
"""Deviations from the mean below this are rounding: the directions are equal."""


def deviation_dimensions(
    directions: ArrayLike, near: Counterparts, theta: float = DEFAULTS.theta
) -> Array:
    """Dimensions in which a latent and its counterparts deviate from their mean, [S, M].

    NaN for a latent that is found in fewer than three other seeds, and where all are equal.

    Args:
        directions: decoder directions of any length, [S, M, D].
        near: `counterparts` of these directions. A negative cosine turns its latent around.
        theta: least |cosine| of a counterpart that counts.

    Raises:
        ConfigError: shapes that do not fit.
    """
    d, _ = live_latents(directions, None)
    n_seeds, m = d.shape[:2]
    checks.same_shape("near.latent", near.latent.shape, "S, S, M", (n_seeds, n_seeds, m))
    theta = checks.between("theta", theta, 0, 1)
    own = np.eye(n_seeds, dtype=bool)[:, :, None]
    kept = own | (np.abs(np.nan_to_num(near.cosine)) >= theta)  # [S, S, M]
    sign = np.where(own, 1.0, np.sign(np.nan_to_num(near.cosine))) * kept
    which = np.where(own, np.arange(m), np.maximum(near.latent, 0))
    out = np.full((n_seeds, m), np.nan)
    others = np.arange(n_seeds)
    for s in range(n_seeds):
        (enough,) = np.nonzero(kept[s].sum(axis=0) >= LEAST)
        for rows in np.split(enough, range(CHUNK, len(enough), CHUNK)):
            x = d[others, which[s][:, rows].T] * sign[s][:, rows].T[..., None]  # [n, S, D]
            out[s, rows] = _participation(x, kept[s][:, rows].T)
    return out


def _participation(x: Array, kept: Array) -> Array:
    """Participation ratio of the deviations of unit rows x [n, S, D] where `kept` [n, S]: [n].

    Rows that are not kept are zero. Deviations sum to zero, as the mean points along the sum of x.
    """
    mean = x.sum(axis=1, keepdims=True)
    mean /= np.linalg.norm(mean, axis=2, keepdims=True)
    aside = (x - (x @ mean.swapaxes(1, 2)) * mean) * kept[..., None]
    gram = aside @ aside.swapaxes(1, 2)
    total = np.trace(gram, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = total**2 / np.square(gram).sum(axis=(1, 2))
    return np.where(total > ROUNDING**2 * kept.sum(axis=1), ratio, np.nan)
