"""Decoders of several seeds in which the truth about each latent is known."""

import numpy as np

from synthsae.geometry import haar, unit

D, FEATURES, PLANE, NOISE = 48, 12, 4, 3


def decoders(n_seeds: int, seed: int = 0) -> np.ndarray:
    """Features that all seeds have; a rank-2 subspace, turned; random latents; one dead row.

    Rows of seed 0: 0 to 11 features, 12 a near-copy of feature 0, 13 to 16 in the plane, 17 to 19
    random, 20 dead. Other seeds have them in another order.
    """
    rng = np.random.default_rng(seed)
    features = haar(D, rng)[: FEATURES + 2]
    out = []
    for s in range(n_seeds):
        near = features[:FEATURES] + 0.01 * rng.standard_normal((FEATURES, D))
        angle = rng.uniform(0, 2 * np.pi) + np.pi / 2 * np.arange(PLANE)
        turned = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ features[FEATURES:]
        copy = near[:1] + 0.02 * rng.standard_normal((1, D))
        rows = [near, copy, turned, rng.standard_normal((NOISE, D)), np.zeros((1, D))]
        x = unit(np.concatenate(rows))
        out.append(x if s == 0 else x[rng.permutation(len(x))])
    return np.stack(out)
