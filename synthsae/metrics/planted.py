"""Latents against planted features: the nearest feature, uniqueness, and p_hat of each feature."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.checks import ConfigError, Shown, numbers
from synthsae.metrics.latent import cosines, match
from synthsae.metrics.reappearance import THETA


def nearest_features(latents: ArrayLike, features: ArrayLike, absolute: bool = False) -> Index:
    """Index of the planted feature with the largest cosine to each latent, [M].

    Many-to-one; the first feature at ties. SAELens' evaluation takes absolute cosines.

    Args:
        latents: decoder directions, [M, D].
        features: planted features, [F, D], F >= 1.
        absolute: whether to compare |cosine|.
    """
    checks.array("latents", latents, "[M, D]")
    if len(checks.array("features", features, "[F, D]")) == 0:
        raise ConfigError("features", Shown(f"shape {np.shape(features)}"), "one row or more")
    return cosines(latents, features, absolute).argmax(axis=-1)


def uniqueness(latents: ArrayLike, features: ArrayLike, absolute: bool = False) -> float:
    """Number of distinct `nearest_features` over the number of latents, in (0, 1]; 0 for M = 0.

    1 if each latent has a nearest feature of its own; at most F / M. SynthSAEBench (arXiv
    2602.14687, with absolute cosines).
    """
    nearest = nearest_features(latents, features, absolute)
    return len(np.unique(nearest)) / len(nearest) if len(nearest) else 0.0


def feature_reappearance(
    directions: ArrayLike,
    features: ArrayLike,
    p_hat: ArrayLike,
    live: ArrayLike | None = None,
    theta: float = THETA,
) -> Array:
    """p_hat of the latent that is matched with each planted feature, [S, F].

    A feature's latent is its partner in the signed Hungarian assignment of live latents to
    features. A feature without a partner, or with a cosine below theta, has 0.

    Args:
        directions: decoder directions, [S, M, D].
        features: planted features, [F, D].
        p_hat: of `reappearance`, [S, M].
        live: which latents are live, bool [S, M]; None stands for all.
        theta: least cosine of a latent and its feature.
    """
    d = checks.array("directions", directions, "[S, M, D]")
    f = checks.array("features", features, "[F, D]")
    alive = checks.mask("live", live, d.shape[:2])
    p = numbers("p_hat", p_hat)
    checks.same_shape("p_hat", p.shape, "directions' [S, M]", d.shape[:2])
    theta = checks.between("theta", theta, -1, 1)
    out = np.zeros((len(d), len(f)))
    for s, keep in enumerate(alive):
        rows, cols, cosine = match(d[s, keep], f)
        out[s, cols] = np.where(cosine >= theta, p[s, keep][rows], 0.0)
    return out
