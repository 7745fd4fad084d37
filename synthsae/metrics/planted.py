"""Latents against planted features: who tracks whom, who twice, and does the tracker return."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.checks import ConfigError, Shown, numbers
from synthsae.metrics.latent import cosines, match
from synthsae.metrics.reappearance import THETA


def nearest_features(latents: ArrayLike, features: ArrayLike, absolute: bool = False) -> Index:
    """The planted feature with the largest cosine to each latent: [M, D], [F, D] -> [M].

    Many-to-one, the first one at ties; SAELens' evaluation takes absolute cosines. Raises
    ValueError where F = 0, else as `latent.cosines`.
    """
    checks.array("latents", latents, "[M, D]")
    if len(checks.array("features", features, "[F, D]")) == 0:
        raise ConfigError("features", Shown(f"shape {np.shape(features)}"), "one row or more")
    return cosines(latents, features, absolute).argmax(axis=-1)


def uniqueness(latents: ArrayLike, features: ArrayLike, absolute: bool = False) -> float:
    """Distinct `nearest_features` over the number of latents, in (0, 1]; 0 without latents.

    1 where every latent tracks a feature of its own; at most F / M. SynthSAEBench (arXiv
    2602.14687; there absolute). Errors as `nearest_features`.
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
    """p_hat of the latent that stands for each planted feature, per seed: -> [S, F].

    A feature's latent is its partner in the signed Hungarian assignment on the live latents;
    features without one, or with a cosine below theta, have 0. Directions [S, M, D], features
    [F, D], `p_hat` [S, M] from `reappearance`, `live` bool [S, M]. Raises ValueError for shapes
    that do not fit and for theta outside [-1, 1].
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
