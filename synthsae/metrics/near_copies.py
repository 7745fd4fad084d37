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
from synthsae.metrics.alignment import TIGHT, Identities, candidates
from synthsae.metrics.pairs import Pairs, close_pairs, concatenated

TRIES = 2
"""Tests of a latent, alone and with its near-copies joined: p-values of the second are doubled."""


class Joined(NamedTuple):
    """Latents of several SAEs with the near-copies of each SAE joined.

    Attributes:
        leader: index of the latent that stands for each latent, [S, M]: itself without near-copies,
            -1 for a latent that was not looked at.
        at: the latents that stand for others too, as nodes s M + i, [n].
        mean: mean direction of each of these and its near-copies, unit rows, [n, D].
    """

    leader: Index
    at: Index
    mean: Array


def join(directions: Array, among: Mask, near: Pairs, same: float) -> Joined:
    """Join the near-copies in each SAE.

    The latent with the largest sum of cosines with its near-copies leads: all latents whose cosine
    with it is `same` or more are joined to it. The next leader is chosen from what is left.

    Args:
        directions: unit rows, [S, M, D].
        among: latents that may be joined, bool [S, M].
        near: pairs of `alignment.near_latents` with a cosine of `same` or more.
        same: least cosine of two near-copies.
    """
    s, m, width = directions.shape
    flat, free = directions.reshape(-1, width), among.ravel()
    leader = np.where(free, np.tile(np.arange(m), s), -1)
    groups = _groups(near.take(free[near.i] & free[near.j]), m, same)
    for group in groups:
        leader[group] = group[0] % m
    at = np.array([group[0] for group in groups], dtype=np.intp)
    mean = np.reshape([flat[group].sum(axis=0) for group in groups], (-1, width))
    return Joined(leader.reshape(s, m), at, unit(mean))


def joined_identities(directions: Array, live: Mask, near: Pairs, joined: Joined) -> Identities:
    """Candidates for identities in which some SAE has near-copies.

    As in `alignment.identities`, after the near-copies are joined. The spacing of a candidate is
    the angle to the nearest live latent that is not joined to it. `latents` holds the leaders.

    Args:
        directions: unit rows, [S, M, D].
        live: live latents, bool [S, M].
        near: pairs of `alignment.near_latents`.
        joined: what `join` makes of some of them.
    """
    s, m, width = directions.shape
    changed: Mask = np.zeros(s * m, dtype=bool)
    changed[joined.at] = True
    leads = (joined.leader == np.arange(m)).ravel()
    same, others = leads & ~changed, live & (joined.leader < 0)
    if not changed.any():
        return candidates(directions, others, near.take(changed[near.i]))
    d = directions.copy()
    flat, at, mean = d.reshape(-1, width), joined.at, joined.mean
    flat[at] = mean
    pairs = [near.take(same[near.i] & same[near.j])]
    for columns, y in ((at, mean), (np.flatnonzero(same), flat[same])):
        close = close_pairs(mean, y, TIGHT)
        i, j = at[close.i], columns[close.j]
        pairs.append(Pairs(np.minimum(i, j), np.maximum(i, j), close.cosine))
    found = candidates(d, others | leads.reshape(s, m), concatenated(pairs))
    from_copies = changed.reshape(s, m)[np.arange(s), found.latents] & (found.latents >= 0)
    found = Identities._make(x[from_copies.any(axis=1)] for x in found)
    found = found._replace(p=np.minimum(1.0, TRIES * found.p))
    order = np.lexsort((found.angle, found.p))
    return Identities._make(x[order] for x in found)


def copy_of(listed: Index, near: Pairs, same: float, m: int) -> Index:
    """The listed latent of its own SAE that a latent is a near-copy of, [S, M]; -1: none.

    Args:
        listed: rows of latents, one a seed, -1 without one, [n, S].
        near: pairs of `alignment.near_latents` with a cosine of `same` or more.
        same: least cosine of two near-copies.
        m: number of latents of an SAE, M.
    """
    s = listed.shape[1]
    on: Mask = np.zeros(s * m, dtype=bool)
    seed = np.broadcast_to(np.arange(s), listed.shape)[listed >= 0]
    on[seed * m + listed[listed >= 0]] = True
    near = near.take(
        (near.cosine >= same) & (near.i // m == near.j // m) & (on[near.i] ^ on[near.j])
    )
    near = near.take(np.argsort(near.cosine, kind="stable"))  # the nearest one is written last
    out = np.full(s * m, -1)
    swap = on[near.i]
    out[np.where(swap, near.j, near.i)] = np.where(swap, near.i, near.j) % m
    return out.reshape(s, m)


def _groups(near: Pairs, m: int, same: float) -> list[Index]:
    """Latents s M + i that are near-copies of one another, the leader first in each group."""
    near = near.take((near.cosine >= same) & (near.i // m == near.j // m))
    beside: dict[int, list[int]] = {}
    weight: dict[int, float] = {}
    for a, b, cosine in zip(*(x.tolist() for x in near), strict=True):
        for one, other in ((a, b), (b, a)):
            beside.setdefault(one, []).append(other)
            weight[one] = weight.get(one, 0.0) + cosine
    taken: set[int] = set()
    groups = []
    for a in sorted(beside, key=lambda a: -weight[a]):
        group = [b for b in beside[a] if b not in taken]
        if a not in taken and group:
            groups.append(np.array([a, *group]))
            taken.update(groups[-1].tolist())
    return groups
