"""What one planted block became: how many latents, which span, and do they come back."""

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
    """One block of rank R in S seeds.

    members: bool [S, M], live latents with at least `threshold` of their energy in the block.
    latents: [S], how many.
    overlap: [S], of the learned span with the block, in [0, 1].
    angles: [S, R], of the learned span to the block, radians, missing directions at pi/2.
    cross_seed_overlap: [S, S], of two seeds' learned spans over the rank R; symmetric, needs no
        more truth than the choice of members; NaN on the diagonal.
    reappearance: [S], mean p_hat of the members; NaN without members or without `p_hat`.
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
    """The report on one planted block: directions [S, M, D], its columns `basis` [D, R].

    `live` is bool [S, M]; `p_hat` [S, M] is `reappearance` over *all* live latents. Raises
    ValueError for shapes that do not fit, values that are not finite and a basis of rank 0.
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
