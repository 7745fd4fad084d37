"""Latents that are the same in every seed: so alike that no free rotation would bring them there.

p_hat = 1 is not enough: four latents in a plane that nothing fixes are found in every other seed.
What tells a feature is how *tight* its counterparts are, against how far apart the latents of one
seed lie. Code turned at random brings another seed's latent anywhere between two of one's own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.geometry import unit

TIGHT = 0.9  # cosine from which two latents can be one
BLOCK = 1024  # rows of a cosine matrix held at a time


class Identities(NamedTuple):
    """Candidates, most surely identifiable first.

    latents: [n, S], the index in every seed, -1 where there is none.
    direction: [n, D], unit mean of the members.
    angle: [n], the largest between two members, radians.
    spacing: [n], angle from a member to the nearest other latent of its seed, median, radians.
    p: [n], `chance_alignment`.
    """

    latents: Index
    direction: Array
    angle: Array
    spacing: Array
    p: Array


def chance_alignment(angle: ArrayLike, spacing: ArrayLike, found: ArrayLike, n_seeds: int) -> Array:
    """Chance that `found` of S seeds agree within `angle` where each seed's code is turned freely.

    In a plane, the case that favours agreement most, a code whose latents are `spacing` apart has
    one in an arc of length `angle` with probability q = angle / spacing. The arc begins at one of
    S latents and holds found - 1 others: S P(Bin(S - 1, q) >= found - 1), which for found = S and
    q <= 1/2 is exact (Stevens 1939); times the majorities S - floor(S / 2) that `found` could be.
    1 where `found` is no majority. Radians; arguments broadcast.
    """
    given = {"angle": angle, "spacing": spacing, "found": found}
    a, gap, k = np.broadcast_arrays(*(checks.array(n, v, "[...]") for n, v in given.items()))
    s = checks.count("n_seeds", n_seeds, 2)
    q = np.clip(np.divide(a, gap, out=np.ones(a.shape), where=gap > 0), 0, 1)
    p = np.minimum(1.0, (s - s // 2) * s * binom.sf(k - 2, s - 1, q))
    return np.where(2 * k > s, p, 1.0)


def identities(
    directions: ArrayLike, live: ArrayLike | None = None, tight: float = TIGHT
) -> Identities:
    """Latents that stand for one direction in most of the seeds: directions [S, M, D].

    Two latents are joined where each is the other's nearest (signed, live) and their cosine is
    `tight` or more; a candidate is a connected component with at most one latent of a seed and
    members in more than half of the seeds. Neither the order of seeds nor that of latents matters.

    Of candidates in a block of rank 2 or more that no rotation changes, a share of alpha or less
    has p <= alpha, provided that seeds share neither start nor data. p says nothing against a
    direction that all seeds prefer for a reason other than a feature (two features merged, say).
    Rows of zeros are no latents. Raises ValueError for shapes that do not fit and values that are
    not finite.
    """
    d, alive = checks.live_latents(directions, live)
    tight = checks.between("tight", tight, 0, 1)
    s, m, _ = d.shape
    rows = [np.flatnonzero(a) for a in alive]
    edges = [np.zeros((2, 0), dtype=np.intp)]
    for a in range(s):
        for b in range(a):
            i, j = _mutual(d[a, rows[a]], d[b, rows[b]], tight)
            edges.append(np.stack([a * m + rows[a][i], b * m + rows[b][j]]))
    spacing = np.full((s, m), np.pi)
    for a, keep in enumerate(rows):
        _, cosine = _nearest(d[a, keep], d[a, keep], other=True)
        spacing[a, keep] = np.arccos(np.clip(cosine, -1, 1))
    found = [_table(nodes, s, m) for nodes in _components(np.concatenate(edges, axis=1), s * m)]
    return _candidates(d, spacing, np.reshape([t for t in found if t is not None], (-1, s)))


def _candidates(d: Array, spacing: Array, latents: Index) -> Identities:
    """The candidates `latents` [n, S] in the order of their p."""
    n, s = latents.shape
    mean, angle, gap = np.zeros((n, d.shape[-1])), np.zeros(n), np.zeros(n)
    for i, row in enumerate(latents):
        (at,) = np.nonzero(row >= 0)
        x = d[at, row[at]]
        mean[i] = x.sum(axis=0)
        angle[i] = np.arccos(np.clip((x @ x.T).min(), -1, 1))
        gap[i] = np.median(spacing[at, row[at]])
    p = chance_alignment(angle, gap, (latents >= 0).sum(axis=1), s)
    order = np.lexsort((angle, p))
    return Identities(latents[order], unit(mean[order]), angle[order], gap[order], p[order])


def _nearest(x: Array, y: Array, other: bool = False) -> tuple[Index, Array]:
    """The row of y with the largest cosine to each row of x, and it: [m], [m].

    `other` leaves out the row itself, where x is y. -1 where y has no row to offer.
    """
    which, best = np.zeros(len(x), dtype=np.intp), np.full(len(x), -1.0)
    for start in range(0, len(x) if len(y) else 0, BLOCK):
        c = x[start : start + BLOCK] @ y.T
        if other:
            c[np.arange(len(c)), start + np.arange(len(c))] = -1.0
        which[start : start + BLOCK] = c.argmax(axis=1)
        best[start : start + BLOCK] = c.max(axis=1)
    return which, best


def _mutual(x: Array, y: Array, tight: float) -> tuple[Index, Index]:
    """Rows of x and y that are each other's nearest, at a cosine >= `tight`."""
    there, cosine = _nearest(x, y)
    back, _ = _nearest(y, x)
    i = np.flatnonzero(cosine >= tight)
    i = i[back[there[i]] == i]
    return i, there[i]


def _components(edges: Index, n: int) -> list[Index]:
    """Nodes of every connected component of two or more."""
    graph = coo_array((np.ones(edges.shape[1], dtype=bool), tuple(edges)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _table(nodes: Index, s: int, m: int) -> Index | None:
    """The latent of each seed among nodes a M + i, [S]; None for two of a seed or a minority."""
    seeds, latents = np.divmod(nodes, m)
    if len(set(seeds)) < len(seeds) or 2 * len(seeds) <= s:
        return None
    row = np.full(s, -1, dtype=np.intp)
    row[seeds] = latents
    return row
