"""Tight codes, and what pools of rotated ones cover, by the definitions."""

import numpy as np

from synthsae.geometry import haar, unit


def cross_polytope(rank: int) -> np.ndarray:
    """+-e_i: [2R, R]."""
    return np.vstack([np.eye(rank), -np.eye(rank)])


def greedy(d: np.ndarray, rates: np.ndarray, threshold: float) -> list[int]:
    """Rows kept once near-duplicates are dropped by falling rate, one at a time; rates differ."""
    kept: list[int] = []
    for i in np.argsort(-rates):
        if not (d[kept] @ d[i] >= threshold).any():
            kept.append(int(i))
    return kept


def pooled_coverage(
    code: np.ndarray, n: int, threshold: float, *, keep=greedy, draws: int = 60, points: int = 1000
) -> np.ndarray:
    """Share of the sphere within .7 of what `keep` leaves of n Haar-rotated codes: [draws]."""
    rng, seen = np.random.default_rng(1), []
    for _ in range(draws):
        pool = (code @ haar(code.shape[1], rng, (n,))).reshape(-1, code.shape[1])
        x = unit(rng.standard_normal((points, code.shape[1])))
        kept = pool[keep(pool, rng.random(len(pool)), threshold)]
        seen.append(((x @ kept.T).max(axis=1) >= 0.7).mean())
    return np.array(seen)
