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
from synthsae.arrays import Array, Index, Mask
from synthsae.geometry import live_latents, unit
from synthsae.metrics.pairs import Pairs, close_pairs, largest_cosines

TIGHT = 0.9  # least cosine of two latents that are joined


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
    return candidates(d, alive, near_latents(d, alive, tight))


def near_latents(d: Array, live: Mask, least: float) -> Pairs:
    """Pairs of live latents, of one seed or of two, with a cosine of `least` or more.

    Args:
        d: unit rows, [S, M, D].
        live: live latents, bool [S, M].
        least: least cosine of a pair.

    Returns:
        The pairs i < j; latent m of seed s is s M + m.
    """
    (rows,) = np.nonzero(live.ravel())
    flat = d.reshape(-1, d.shape[2])
    x = flat if len(rows) == len(flat) else flat[rows]
    found = close_pairs(x, x, least)
    return Pairs(rows[found.i], rows[found.j], found.cosine)


def candidates(d: Array, live: Mask, near: Pairs) -> Identities:
    """Candidates for identities (see `identities`) among pairs of `near_latents`.

    Args:
        d: unit rows, [S, M, D].
        live: latents that a candidate may be close to, bool [S, M].
        near: all pairs of the latents of candidates that may be joined.
    """
    s, m, _ = d.shape
    found = [_table(nodes, s, m) for nodes in _components(_mutual(near, m), s * m)]
    latents = np.array([t for t in found if t is not None], dtype=np.intp).reshape(-1, s)
    n = len(latents)
    mean, angle, gap = np.zeros((n, d.shape[-1])), np.zeros(n), np.zeros(n)
    spacing = np.full((s, m), np.pi)
    for x, on, out, rows in zip(d, live, spacing, latents.T, strict=True):
        used = np.unique(rows[rows >= 0])
        out[used] = np.arccos(np.clip(largest_cosines(x, np.flatnonzero(on), used), -1, 1))
    for i, row in enumerate(latents):
        (at,) = np.nonzero(row >= 0)
        x = d[at, row[at]]
        mean[i] = x.sum(axis=0)
        chord = np.linalg.norm(x[:, None] - x, axis=2).max()  # exact for small angles
        angle[i] = 2 * np.arcsin(min(1.0, chord / 2))
        gap[i] = np.median(spacing[at, row[at]])
    p = chance_alignment(angle, gap, (latents >= 0).sum(axis=1), s)
    order = np.lexsort((angle, p))
    return Identities(latents[order], unit(mean[order]), angle[order], gap[order], p[order])


def _mutual(near: Pairs, m: int) -> Index:
    """Pairs of latents of two seeds that are nearest to each other, as nodes s M + i, [2, n]."""
    near = near.take(near.i // m != near.j // m)
    i, j = np.concatenate([near.i, near.j]), np.concatenate([near.j, near.i])
    order = np.lexsort((j, -np.concatenate([near.cosine, near.cosine]), j // m, i))
    i, j = i[order], j[order]
    first = np.ones(len(i), dtype=bool)
    first[1:] = (i[1:] != i[:-1]) | (j[1:] // m != j[:-1] // m)
    nearest = np.stack([i[first], j[first]])
    n = 1 + nearest.max(initial=0)
    back = np.isin(nearest[0] * n + nearest[1], nearest[1] * n + nearest[0])
    return nearest[:, back & (nearest[0] < nearest[1])]


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
