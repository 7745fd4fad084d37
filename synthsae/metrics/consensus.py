"""Latents and subspaces that several seeds agree on.

Groups of pooled latents (`groups.groups`) are the candidates for subspaces. A subspace is
reproducible if the latents of each seed in it span the *same* subspace. The test is
`alignment.chance_alignment`, with the largest principal angle between two seeds' spans in place of
the angle between two latents: codes that are rotated at random in a larger block agree on a part of
that block only by chance.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from synthsae.arrays import Array, Mask
from synthsae.definitions import DEFAULTS
from synthsae.geometry import live_latents
from synthsae.metrics.alignment import (
    TIGHT,
    Identities,
    candidates,
    chance_alignment,
    near_latents,
)
from synthsae.metrics.groups import estimate_rank, groups_of_unit, leading_span
from synthsae.metrics.near_copies import Joined, copy_of, join, joined_identities
from synthsae.metrics.pairs import Pairs

LEAST = 2  # least rank of a subspace; rank 1 is a direction
RIGHT_ANGLE = np.pi / 2  # spacing of latents in the smallest code that spans a block


class Subspace(NamedTuple):
    """A candidate for a reproducible subspace.

    Attributes:
        members: latents with half of their energy or more in `span`, bool [S, M].
        span: orthonormal basis, strongest direction first, [D, rank].
        rank: dimension of the subspace.
        rank_low: least estimate of the rank with one seed left out.
        rank_high: largest estimate of the rank with one seed left out.
        found: number of seeds whose own members span all of its dimensions.
        angle: largest principal angle between the spans of two such seeds, in radians.
        p: probability that codes that are rotated at random in a larger block agree as well.
    """

    members: Mask
    span: Array
    rank: int
    rank_low: int
    rank_high: int
    found: int
    angle: float
    p: float


def subspaces(d: Array, live: Mask, alpha: float = 0.01) -> list[Subspace]:
    """Subspaces of rank 2 or more that latents of most seeds share, in the order of their p-values.

    The order of seeds and the order of latents do not matter.

    Args:
        d: unit rows, [S, M, D].
        live: latents to look at, bool [S, M]; leave identifiable latents out.
        alpha: error rate of the cosines that join latents.
    """
    seed, latent = np.nonzero(live)
    found = []
    for group in groups_of_unit(d[seed, latent], alpha):
        inside = np.zeros_like(live)
        inside[seed[group.rows], latent[group.rows]] = True
        if group.rank >= LEAST and 2 * inside.any(axis=1).sum() > len(d):
            found.append(_describe(d, inside, group.span))
    return sorted(found, key=lambda x: (x.p, x.angle))


def _describe(d: Array, inside: Mask, span: Array) -> Subspace:
    """The Subspace of the latents `inside`, bool [S, M], with basis `span`."""
    rank, s = span.shape[1], len(d)
    seed, rows = np.nonzero(inside)[0], d[inside]
    own = [leading_span(rows[seed == i], rank) for i in range(s)]
    full = [u for u in own if u.shape[1] == rank]
    angle = max((_largest_angle(a, b) for a, b in combinations(full, 2)), default=RIGHT_ANGLE)
    ranks = [rank, *(estimate_rank(rows[seed != i]) for i in range(s))]
    p = float(chance_alignment(angle, RIGHT_ANGLE, len(full), s))
    return Subspace(inside, span, rank, min(ranks), max(ranks), len(full), angle, p)


def _largest_angle(a: Array, b: Array) -> float:
    """The largest of `subspace.principal_angles`, of orthonormal bases [D, R] of one dimension."""
    c = a.T @ b
    beside = b - a @ c
    sine = np.sqrt(max(0.0, np.linalg.eigvalsh(beside.T @ beside)[-1]))
    if sine**2 <= 0.5:
        return float(np.arcsin(sine))
    return float(np.arccos(min(1.0, np.linalg.svd(c, compute_uv=False)[-1])))


class Consensus(NamedTuple):
    """Candidates for identifiable latents and reproducible subspaces, each with its q-value.

    Of the candidates with q <= 1 - level, a share `level` or more is right, on average over
    trainings (Benjamini and Hochberg 1995). `near` are the pairs of `alignment.near_latents`.
    """

    identities: Identities
    identity_q: Array
    subspaces: list[Subspace]
    subspace_q: Array
    near: Pairs


def consensus(
    directions: ArrayLike,
    live: ArrayLike | None = None,
    alpha: float = 0.01,
    same: float = DEFAULTS.same,
) -> Consensus:
    """Identifiable latents and reproducible subspaces of several seeds.

    An identity is *certain* if p <= `alpha` / hypotheses (Bonferroni); the number of hypotheses is
    the mean number of live latents of a seed. Latents that are neither certain nor near-copies of
    a certain latent of their SAE are tried again with the near-copies of each SAE joined
    (`near_copies`). Subspaces are sought among the latents that are not certain then.

    Args:
        directions: decoder directions, [S, M, D].
        live: which latents are live, bool [S, M]; None stands for all.
        alpha: error rate, see `subspaces`.
        same: least cosine of two near-copies, latents of one SAE.
    """
    return consensus_of_unit(*live_latents(directions, live), alpha, same)


def consensus_of_unit(
    d: Array, alive: Mask, alpha: float = 0.01, same: float = DEFAULTS.same
) -> Consensus:
    """`consensus` of unit rows [S, M, D], without a copy of them."""
    near = near_latents(d, alive, min(TIGHT, same))
    tight = near.take(near.cosine >= TIGHT)
    found = candidates(d, alive, tight)
    hypotheses = max(len(found.p), round(alive.sum(axis=1).mean()))
    rest = _uncertain(alive, found, near, alpha / max(1, hypotheses), same)
    joined = join(d, rest, near, same)
    found = _united(found, joined_identities(d, alive, tight, joined), joined)
    hypotheses = max(len(found.p), hypotheses)
    rest = _uncertain(rest, found, near, alpha / max(1, hypotheses), same)
    shared = subspaces(d, rest, alpha)
    p = [x.p for x in shared]
    q = _adjusted(found.p, hypotheses), _adjusted(p, len(p))
    return Consensus(found, q[0], shared, q[1], near)


def _uncertain(live: Mask, found: Identities, near: Pairs, least: float, same: float) -> Mask:
    """Live latents that are neither of a candidate with p <= `least` nor near-copies of such."""
    certain = found.latents[found.p <= least]
    rest = live & (copy_of(certain, near, same, live.shape[1]) < 0)
    for s, row in enumerate(certain.T):
        rest[s, row[row >= 0]] = False
    return rest


def _united(alone: Identities, found: Identities, joined: Joined) -> Identities:
    """Candidates `alone`, and those `found` with near-copies joined, without shared latents.

    Where candidates share latents, the joined one is kept if its p-value is the smallest.
    """
    seeds = np.arange(joined.leader.shape[0])
    leader = np.where(alone.latents >= 0, joined.leader[seeds, alone.latents], -1)
    keep, more = np.ones(len(alone.p), dtype=bool), np.zeros(len(found.p), dtype=bool)
    for i, row in enumerate(found.latents):
        shared = ((leader == row) & (row >= 0)).any(axis=1)
        more[i] = found.p[i] < alone.p[shared].min(initial=np.inf)
        keep &= ~(shared & more[i])
    parts = [np.concatenate([a[keep], b[more]]) for a, b in zip(alone, found, strict=True)]
    order = np.lexsort((parts[2], parts[4]))  # angle and p, as in `identities`
    return Identities._make(part[order] for part in parts)


def _adjusted(p: ArrayLike, n: int) -> Array:
    """q-values of `p` among `n` hypotheses, of which the others have p = 1."""
    padded = np.ones(n)
    padded[: np.size(p)] = p
    return false_discovery_control(padded)[: np.size(p)] if n else padded
