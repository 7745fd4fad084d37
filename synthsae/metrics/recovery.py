"""Recovery of one planted block: its latents, their span, and how often they reappear."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae import checks
from synthsae.arrays import Array
from synthsae.checks import numbers
from synthsae.metrics.subspace import (
    MEMBER,
    learned_span,
    members,
    orthonormal,
    overlap,
    recovery_angles,
)


class BlockRecovery(NamedTuple):
    """Recovery of one block of rank R in S seeds.

    Attributes:
        members: live latents with at least `threshold` of their energy in the block, bool [S, M].
        latents: number of members, [S]. overlap: overlap of the learned span with the block, in [0,
        1], [S]. angles: principal angles of the learned span to the block, in radians; missing
        directions have
            pi/2, [S, R].
        cross_seed_overlap: ||A^T B||_F^2 / R of two seeds' learned spans, symmetric, NaN on the
        diagonal,
            [S, S]. It uses the truth only for the choice of members.
        reappearance: mean p_hat of the members, NaN without members or without `p_hat`, [S].
    """

    members: NDArray[np.bool_]
    latents: NDArray[np.intp]
    overlap: Array
    angles: Array
    cross_seed_overlap: Array
    reappearance: Array


def block_recovery(
    directions: ArrayLike,
    basis: ArrayLike,
    live: ArrayLike | None = None,
    p_hat: ArrayLike | None = None,
    threshold: float = MEMBER,
) -> BlockRecovery:
    """Recovery of one planted block in each seed.

    If another block overlaps this one, its latents may be members too, and the learned span then
    lies between both: call only the latents live that are nearest this one (`subspace.nearest`).

    Args:
        directions: decoder directions, [S, M, D].
        basis: columns that span the planted block, [D, R], R >= 1.
        live: which latents are live, bool [S, M]; None stands for all.
        p_hat: `reappearance` over *all* live latents, [S, M].
        threshold: least share of a member's energy in the block.
    """
    d = checks.array("directions", directions, "[S, M, D]")
    u = orthonormal(basis)
    rank = checks.count("basis's rank", u.shape[1])
    inside = members(d, u, live, threshold)
    p = np.full(inside.shape, np.nan) if p_hat is None else numbers("p_hat", p_hat)
    checks.same_shape("p_hat", p.shape, "directions' [S, M]", inside.shape)
    spans = [learned_span(rows[keep], rank) for rows, keep in zip(d, inside, strict=True)]
    across = np.full((len(d), len(d)), np.nan)
    for s, a in enumerate(spans):
        for t, b in enumerate(spans[:s]):
            across[s, t] = across[t, s] = overlap(a, b) * b.shape[1] / rank
    return BlockRecovery(
        members=inside,
        latents=inside.sum(axis=1),
        overlap=np.array([overlap(span, u) for span in spans]),
        angles=np.stack([recovery_angles(span, u) for span in spans]),
        cross_seed_overlap=across,
        reappearance=np.array(
            [q[k].mean() if k.any() else np.nan for q, k in zip(p, inside, strict=True)]
        ),
    )
