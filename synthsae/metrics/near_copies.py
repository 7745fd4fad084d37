"""Near-copies: latents of one SAE that point in nearly the same direction.

An SAE with latents to spare may give several of them to one feature. Beside a near-copy, no latent
stands out by its angle to the other seeds, so the test of `alignment.identities` would miss the
feature. Near-copies are therefore joined into one direction first. Which latents are joined depends
on their own SAE alone. A code that is turned at random stays one when its near-copies are joined,
so the p-values of `alignment.chance_alignment` stay valid.
"""

from typing import NamedTuple

import numpy as np

from synthsae.arrays import Array, Index, Mask
from synthsae.geometry import unit
from synthsae.metrics.alignment import Identities, chance_alignment, identities
from synthsae.metrics.pairs import close_pairs

TRIES = 2
"""Tests of a latent, alone and with its near-copies joined: p-values of the second are doubled."""


class Joined(NamedTuple):
    """Latents of several SAEs with the near-copies of each SAE joined.

    Attributes:
        leader: index of the latent that stands for each latent, [S, M]: itself without near-copies,
            -1 for a latent that was not looked at.
        directions: unit rows; that of a leader is the mean of its near-copies, [S, M, D].
    """

    leader: Index
    directions: Array

    @property
    def leads(self) -> Mask:
        """Which latents stand for themselves, and perhaps for others, bool [S, M]."""
        return self.leader == np.arange(self.leader.shape[1])


def join(directions: Array, among: Mask, same: float) -> Joined:
    """Join the near-copies in each SAE.

    The latent with the largest sum of cosines with its near-copies leads: all latents whose cosine
    with it is `same` or more are joined to it. The next leader is chosen from what is left.

    Args:
        directions: unit rows, [S, M, D].
        among: latents that may be joined, bool [S, M].
        same: least cosine of two near-copies.
    """
    d, leader = directions.copy(), np.full(among.shape, -1)
    for s, keep in enumerate(among):
        rows = np.flatnonzero(keep)
        leader[s, rows] = rows
        for group in _groups(directions[s, rows], same):
            leader[s, rows[group]] = rows[group[0]]
            d[s, rows[group[0]]] = unit(directions[s, rows[group]].sum(axis=0))
    return Joined(leader, d)


def joined_identities(directions: Array, live: Mask, joined: Joined) -> Identities:
    """Candidates for identities in which some SAE has near-copies.

    As in `alignment.identities`, after the near-copies are joined. The spacing of a candidate is
    the angle to the nearest live latent that is not joined to it. `latents` holds the leaders.

    Args:
        directions: unit rows, [S, M, D].
        live: live latents, bool [S, M].
        joined: what `join` makes of some of them.
    """
    leads = joined.leads
    size = np.stack([np.bincount(row[row >= 0], minlength=len(row)) for row in joined.leader])
    if (size <= 1).all():
        return identities(directions, np.zeros_like(live))
    found = identities(joined.directions, leads)
    seeds = np.arange(len(live))
    several = ((found.latents >= 0) & (size[seeds, found.latents] > 1)).any(axis=1)
    others = leads | (live & (joined.leader < 0))
    p, spacing = found.p.copy(), found.spacing.copy()
    for i in np.flatnonzero(several):
        (at,) = np.nonzero(found.latents[i] >= 0)
        gaps = [_gap(joined.directions[s], others[s], found.latents[i, s]) for s in at]
        spacing[i] = np.median(gaps)
        p[i] = TRIES * chance_alignment(found.angle[i], spacing[i], len(at), len(live))
    found = found._replace(p=np.minimum(1.0, p), spacing=spacing)
    order = np.flatnonzero(several)[np.lexsort((found.angle[several], found.p[several]))]
    return Identities._make(x[order] for x in found)


def copy_of(directions: Array, live: Mask, listed: Index, same: float) -> Index:
    """The listed latent of its own SAE that a latent is a near-copy of, [S, M]; -1: none.

    Args:
        directions: unit rows, [S, M, D].
        live: live latents, bool [S, M].
        listed: rows of latents, one a seed, -1 without one, [n, S].
        same: least cosine of two near-copies.
    """
    out = np.full(live.shape, -1)
    for s, row in enumerate(listed.T):
        on = np.unique(row[row >= 0])
        rest = np.setdiff1d(np.flatnonzero(live[s]), on)
        i, j, cosine = close_pairs(directions[s, rest], directions[s, on], same)
        order = np.argsort(cosine, kind="stable")  # the nearest one is written last
        out[s, rest[i[order]]] = on[j[order]]
    return out


def _groups(d: Array, same: float) -> list[Index]:
    """Rows of unit vectors [m, D] that are near-copies, the leader first in each group."""
    i, j, cosine = close_pairs(d, d, same)
    near: dict[int, list[int]] = {}
    for a, b in zip([*i, *j], [*j, *i], strict=True):
        near.setdefault(int(a), []).append(int(b))
    weight = np.bincount(i, cosine, len(d)) + np.bincount(j, cosine, len(d))
    free, groups = np.ones(len(d), dtype=bool), []
    for a in sorted(near, key=lambda a: -weight[a]):
        group = [b for b in near[a] if free[b]]
        if free[a] and group:
            groups.append(np.array([a, *group]))
            free[groups[-1]] = False
    return groups


def _gap(d: Array, live: Mask, i: int) -> float:
    """Angle from row i of d [M, D] to the nearest other live row, in radians."""
    cosine = d @ d[i]
    others = live.copy()
    others[i] = False
    return float(np.arccos(np.clip(cosine[others].max(initial=-1.0), -1, 1)))
