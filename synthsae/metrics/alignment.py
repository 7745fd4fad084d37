"""Identifiable latents: latents of several seeds that are closer than random rotations bring them.

p_hat = 1 is not enough: four latents in a plane reappear in every other seed, even if each seed's
code is rotated at random in the plane. An identifiable latent has counterparts at angles that are
small against the angles between latents of one seed. A randomly rotated code puts its latents
anywhere between two latents of another seed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.geometry import live_latents, unit

TIGHT = 0.9  # least cosine of two latents that are joined
BLOCK = 1024  # rows of a cosine matrix held at a time


class Identities(NamedTuple):
    """n candidates for identifiable latents, in the order of their p-values.

    Attributes:
        latents: index of the candidate's latent in each seed, -1 without one, [n, S].
        direction: mean of the candidate's latents, scaled to norm 1, [n, D].
        angle: largest angle between two of these latents, in radians, [n].
        spacing: angle from such a latent to the nearest other latent of its seed, in radians, the
            median over seeds, [n].
        p: p-value of `chance_alignment`, [n].
    """

    latents: Index
    direction: Array
    angle: Array
    spacing: Array
    p: Array


def chance_alignment(angle: ArrayLike, spacing: ArrayLike, found: ArrayLike, n_seeds: int) -> Array:
    """p-value of `found` seeds agreeing within `angle` if each code is rotated at random, [...].

    In a plane, where random agreement is most likely, a code whose latents are `spacing` apart has
    a latent in an arc of length `angle` with probability q = angle / spacing. The arc begins at one
    of S latents and holds found - 1 others: p = S P(Bin(S - 1, q) >= found - 1), which is exact for
    found = S and q <= 1/2 (Stevens 1939). It is multiplied by S - floor(S / 2), the number of
    values of `found` that are a majority.

    Args:
        angle: largest angle between two latents of a candidate, in radians, [...].
        spacing: angle between neighbouring latents of one seed, in radians, [...].
        found: number of seeds with a latent of the candidate, [...].
        n_seeds: number of seeds S.

    Returns:
        The p-value; 1 where `found` is not a majority of seeds. Arguments broadcast.
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
    """Candidates for latents that are the same direction in more than half of the seeds.

    Two latents are joined if each is the nearest live latent of the other in its seed (signed) and
    their cosine is `tight` or more. A candidate is a connected component with at most one latent a
    seed. The order of seeds and the order of latents do not matter.

    In a block of rank 2 or more whose law is invariant under rotations, at most a share alpha of
    candidates has p <= alpha, if seeds share neither initialisation nor data. A small p does not
    exclude a direction that all seeds prefer for another reason than a feature, such as two
    features that merge.

    Args:
        directions: decoder directions, [S, M, D]; a row of zeros is not a latent.
        live: which latents are live, bool [S, M]; None stands for all.
        tight: least cosine of two latents that are joined.
    """
    d, alive = live_latents(directions, live)
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
    table = np.array([t for t in found if t is not None], dtype=np.intp).reshape(-1, s)
    return _candidates(d, spacing, table)


def _candidates(d: Array, spacing: Array, latents: Index) -> Identities:
    """The candidates `latents` [n, S] in the order of their p-values."""
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
    """The row of y with the largest cosine to each row of x, and that cosine: [m], [m].

    `other` excludes the row itself, for y = x. The cosine is -1 if y has no row.
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
    """Rows of x and rows of y that are mutually nearest, with a cosine >= `tight`."""
    nearest, cosine = _nearest(x, y)
    back, _ = _nearest(y, x)
    i = np.flatnonzero(cosine >= tight)
    i = i[back[nearest[i]] == i]
    return i, nearest[i]


def _components(edges: Index, n: int) -> list[Index]:
    """The nodes of each connected component with two nodes or more."""
    graph = coo_array((np.ones(edges.shape[1], dtype=bool), tuple(edges)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _table(nodes: Index, s: int, m: int) -> Index | None:
    """The latent of each seed, [S], of a component with nodes s M + i; -1 for a seed without one.

    None if the component has two latents of one seed, or latents of no more than half of the seeds.
    """
    seeds, latents = np.divmod(nodes, m)
    if len(set(seeds)) < len(seeds) or 2 * len(seeds) <= s:
        return None
    row = np.full(s, -1, dtype=np.intp)
    row[seeds] = latents
    return row
