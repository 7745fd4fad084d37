"""Pooling seeds: what a union of other seeds' dictionaries covers."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.geometry import Array, haar, unit
from synthsae.theory._check import Rng, array, real, whole


def pooled_reappearance(p: ArrayLike, n: ArrayLike) -> Array:
    """1 - (1 - p)^n: probability that a latent reappears among n *other, independent* seeds.

    Elementwise. Average the result over latents, not `p` before it: the map is concave, so the mean
    p overestimates. Before near-duplicates are dropped (`pooled_coverage` drops them).
    """
    return 1 - (1 - real("p", p, 0, 1)) ** whole("n", n, 0)


def seeds_needed(p: ArrayLike, target: ArrayLike = 0.95) -> Array:
    """Least whole n with 1 - (1 - p)^n >= target; inf where p = 0. `target` in (0, 1)."""
    goal = real("target", target, np.nextafter(0, 1), np.nextafter(1, 0))
    with np.errstate(divide="ignore"):
        n = np.log1p(-goal) / np.log1p(-real("p", p, 0, 1))
    return np.maximum(1.0, np.ceil(n - 1e-12))


def pooled_coverage(
    code: ArrayLike,
    n: int,
    theta: float = 0.7,
    *,
    duplicate: float | None = None,
    draws: int = 100,
    points: int = 1000,
    rng: Rng = 0,
) -> Array:
    """Share of the sphere within `theta` of n Haar-rotated copies of `code` [m, R]: [draws].

    `duplicate`: going through the pool in order, an atom within this cosine of one already kept is
    dropped. Without it the mean is 1 - (1 - p)^n exactly, p the coverage of one copy: rotations are
    independent. Each draw has its own rotations and `points` uniform test points.
    """
    atoms, copies = array("code", code, (None, None)), int(whole("n", n))
    rank, theta = atoms.shape[1], float(real("theta", theta, -1, 1))
    limit = 2.0 if duplicate is None else float(real("duplicate", duplicate, -1, 1))
    gen = np.random.default_rng(rng)
    out = np.empty(int(whole("draws", draws)))
    for i in range(len(out)):
        pool = (unit(atoms) @ haar(rank, gen, (copies,))).reshape(-1, rank)
        cosine, kept = pool @ pool.T, np.zeros(len(pool), dtype=bool)
        for j in range(len(pool)):
            kept[j] = not (cosine[j, kept] >= limit).any()
        x = unit(gen.standard_normal((int(whole("points", points)), rank)))
        out[i] = ((x @ pool[kept].T).max(axis=1) >= theta).mean()
    return out
