"""The counterpart of each latent in every other seed: the nearest latent, and its cosine."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Index
from synthsae.geometry import live_latents

BLOCK = 1024  # rows of a cosine matrix in memory at a time


class Counterparts(NamedTuple):
    """The nearest live latent in each other seed.

    Attributes:
        latent: its index: [s, t, i] is the latent of seed t that is nearest to latent i of seed s,
            [S, S, M]. -1 for dead latents, for seeds without a live latent, and for t = s.
        cosine: its cosine, float32 [S, S, M]; NaN where `latent` is -1.
    """

    latent: Index
    cosine: NDArray[np.float32]


def counterparts(
    directions: ArrayLike, live: ArrayLike | None = None, absolute: bool = False
) -> Counterparts:
    """The counterpart of each live latent in every other seed, many-to-one.

    Products are float32, one for both directions of a pair of seeds; of latents whose cosines
    differ by rounding alone (1e-6), either may be named.

    Args:
        directions: decoder directions of any length, [S, M, D], S >= 2.
        live: live latents, bool [S, M]; None: all that are not zero.
        absolute: whether a latent and its negative count as the same: the largest |cosine|, which
            is returned with its sign.

    Raises:
        ConfigError: for other shapes, and for values that are not finite.
    """
    d, alive = live_latents(directions, live)
    n_seeds, m = alive.shape
    which = np.full((n_seeds, n_seeds, m), -1)
    cosine = np.full((n_seeds, n_seeds, m), np.nan, dtype=np.float32)
    rows = [np.flatnonzero(a) for a in alive]
    units = [d[s, r].astype(np.float32) for s, r in enumerate(rows)]
    for s, here in enumerate(rows):
        for t, there in enumerate(rows[:s]):
            if len(here) and len(there):
                i, j, c, back = _nearest(units[s], units[t], absolute)
                which[s, t, here], cosine[s, t, here] = there[i], c
                which[t, s, there], cosine[t, s, there] = here[j], back
    return Counterparts(which, cosine)


def _nearest(
    x: NDArray[np.float32], y: NDArray[np.float32], absolute: bool
) -> tuple[Index, Index, NDArray[np.float32], NDArray[np.float32]]:
    """For each row of x [m, D] the nearest of y [n, D] and back: indices [m], [n]; cosines."""
    first: list[Index] = []
    cosine: list[NDArray[np.float32]] = []
    back = np.zeros(len(y), dtype=np.intp)
    best = np.full(len(y), -np.inf, dtype=np.float32)
    signed = np.zeros(len(y), dtype=np.float32)
    columns = np.arange(len(y))
    for start in range(0, len(x), BLOCK):
        c = x[start : start + BLOCK] @ y.T
        size = np.abs(c) if absolute else c
        first.append(size.argmax(axis=1))
        cosine.append(c[np.arange(len(c)), first[-1]])
        row = size.argmax(axis=0)
        better = size[row, columns] > best
        best[better] = size[row, columns][better]
        signed[better] = c[row, columns][better]
        back[better] = start + row[better]
    forth = np.clip(np.concatenate(cosine), -1, 1)
    return np.concatenate(first), back, forth, np.clip(signed, -1, 1)
