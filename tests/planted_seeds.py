"""Latents of several seeds whose truth is known: features, and blocks turned at random."""

import numpy as np

from synthsae import geometry

D, S = 48, 6


def trained(rng, rank, n_blocks=3, n_features=6, s=S, noise=0.02):
    """What seeds would learn: noisy features, and cross-polytopes turned at random in blocks.

    Directions [s, M, D] in shuffled order, the features [n, D], the bases [G, D, rank].
    """
    axes = geometry.haar(D, rng)
    features = axes[:, :n_features].T
    bases = np.stack(
        [axes[:, n_features + g * rank : n_features + (g + 1) * rank] for g in range(n_blocks)]
    )
    rows = []
    for _ in range(s):
        turned = [geometry.haar(rank, rng) @ u.T for u in bases]
        rows.append(np.concatenate([features, *turned, *(-t for t in turned)]))
    x = np.array(rows)
    x = geometry.unit(x + noise / np.sqrt(D) * rng.standard_normal(x.shape))
    return np.stack([rng.permutation(r) for r in x]), features, bases
