"""What comes back when an SAE is trained again: latents that do, and subspaces that do.

Groups of pooled latents (`groups.groups`) are the candidates for subspaces. What makes one
reproducible is that the seeds' own latents in it span the *same* subspace: the test of
`alignment.chance_alignment`, with the largest principal angle between two seeds' spans in place of
the angle between two latents. Codes that are turned freely in a larger block line up along a part
of it only by chance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from synthsae import checks
from synthsae.arrays import Array, Mask
from synthsae.metrics.alignment import Identities, chance_alignment, identities
from synthsae.metrics.groups import estimate_rank, groups
from synthsae.metrics.subspace import learned_span, principal_angles

LEAST = 2  # rank from which a subspace is more than a direction
RIGHT_ANGLE = np.pi / 2  # spacing of the axes of a code that spans its block with fewest latents


class Subspace(NamedTuple):
    """A candidate. members: bool [S, M], latents with half of their energy or more in `span`.

    span: orthonormal basis [D, rank], strongest direction first.
    rank_low, rank_high: the least and the largest `rank` with any one seed left out.
    found: seeds whose own members span all of its dimensions.
    angle: the largest principal angle between the spans of two of these, radians.
    p: chance that codes turned freely in a larger block agree as well.
    """

    members: Mask
    span: Array
    rank: int
    rank_low: int
    rank_high: int
    found: int
    angle: float
    p: float


def subspaces(
    directions: ArrayLike, live: ArrayLike | None = None, alpha: float = 0.01
) -> list[Subspace]:
    """Subspaces of rank 2 or more that latents of most seeds share, most surely so first.

    Directions [S, M, D], bool `live` [S, M]: mask identifiable latents out of it. `alpha` is the
    error rate of the cosines that join latents. Neither the order of seeds nor that of latents
    matters. Raises ValueError for shapes that do not fit and values that are not finite.
    """
    d, alive = checks.live_latents(directions, live)
    seed, latent = np.nonzero(alive)
    found = []
    for group in groups(d[seed, latent], alpha):
        inside = np.zeros_like(alive)
        inside[seed[group.rows], latent[group.rows]] = True
        if group.rank >= LEAST and 2 * inside.any(axis=1).sum() > len(d):
            found.append(_describe(d, inside, group.span))
    return sorted(found, key=lambda x: (x.p, x.angle))


def _describe(d: Array, inside: Mask, span: Array) -> Subspace:
    """One candidate as a Subspace."""
    rank, s = span.shape[1], len(d)
    own = [learned_span(x[keep], rank) for x, keep in zip(d, inside, strict=True)]
    full = [u for u in own if u.shape[1] == rank]
    angles = [principal_angles(a, b)[-1] for i, a in enumerate(full) for b in full[:i]]
    angle = float(max(angles, default=RIGHT_ANGLE))
    ranks = [rank]
    for i in range(s):
        others = np.arange(s) != i
        ranks.append(estimate_rank(d[others][inside[others]]))
    p = float(chance_alignment(angle, RIGHT_ANGLE, len(full), s))
    return Subspace(inside, span, rank, min(ranks), max(ranks), len(full), angle, p)


class Consensus(NamedTuple):
    """What comes back: candidates of both kinds, and each one's q.

    A list of those with q <= 1 - level is right in a share `level` of its entries or more, on
    average over trainings (Benjamini and Hochberg 1995).
    """

    identities: Identities
    identity_q: Array
    subspaces: list[Subspace]
    subspace_q: Array


def consensus(
    directions: ArrayLike, live: ArrayLike | None = None, alpha: float = 0.01
) -> Consensus:
    """Identifiable latents and reproducible subspaces of directions [S, M, D], bool `live` [S, M].

    Each live latent of the mean seed is a hypothesis. Subspaces are sought among the latents that
    are left without the identities beyond doubt: p <= `alpha` over their number (Bonferroni).
    Errors as `identities`.
    """
    d, rest = checks.live_latents(directions, live)
    same = identities(d, rest)
    hypotheses = max(len(same.p), round(rest.sum(axis=1).mean()))
    for row in same.latents[same.p * hypotheses <= alpha]:
        (at,) = np.nonzero(row >= 0)
        rest[at, row[at]] = False
    shared = subspaces(d, rest, alpha)
    p = [x.p for x in shared]
    return Consensus(same, _adjusted(same.p, hypotheses), shared, _adjusted(p, len(p)))


def _adjusted(p: ArrayLike, n: int) -> Array:
    """False discovery rates at which each of p is listed, among `n` hypotheses, the others at 1."""
    padded = np.ones(n)
    padded[: np.size(p)] = p
    return false_discovery_control(padded)[: np.size(p)] if n else padded
