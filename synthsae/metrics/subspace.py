"""Angles and overlap between subspaces, and the subspace that a block's latents span.

A subspace is given by the columns of a [D, R] array, of any length and at any angle to one another;
a direction is a row.
"""

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Mask
from synthsae.definitions import DEFAULTS
from synthsae.geometry import unit

MEMBER = DEFAULTS.member


def orthonormal(basis: ArrayLike, name: str = "basis") -> Array:
    """An orthonormal basis of the span of the columns of `basis`, [D, R] -> [D, rank].

    Columns are scaled to norm 1 first, so their lengths do not decide the numerical rank.
    """
    b = checks.array(name, basis, "[D, R]")
    return scipy.linalg.orth(unit(b.T).T) if b.size else b[:, :0]


def principal_angles(a: ArrayLike, b: ArrayLike) -> Array:
    """Principal angles between two column spans, radians, ascending: [D, R1], [D, R2] -> [min dim].

    Arcsin for small angles and arccos for large ones (Knyazev and Argentati 2002): right at 1e-9
    and at pi/2, also side by side. `scipy.linalg.subspace_angles` (1.17) chooses between the two in
    the wrong order where small and large angles are not equal in number, and is then off by 1e-8.
    Raises ValueError for shapes that do not fit and for values that are not finite.
    """
    x, y = _pair(a, b, "b")
    if x.shape[1] < y.shape[1]:
        x, y = y, x
    if not y.shape[1]:
        return np.zeros(0)
    c = x.T @ y
    cosine = np.minimum(1.0, np.linalg.svd(c, compute_uv=False))
    sine = np.minimum(1.0, np.linalg.svd(y - x @ c, compute_uv=False)[::-1])
    return np.where(cosine**2 >= 0.5, np.arcsin(sine), np.arccos(cosine))


def overlap(a: ArrayLike, u: ArrayLike) -> float:
    """||A^T U||_F^2 / dim U: the mean squared cosine over U's directions, in [0, 1].

    A and U are orthonormal bases of the spans of [D, R1] and [D, R2]. Directions that A lacks
    count 0 (so overlap(a, u) and overlap(u, a) differ where the dimensions do), and an empty U is
    not overlapped: 0. Random spans have R1/D. Errors as `principal_angles`.
    """
    x, y = _pair(a, u, "u")
    return min(1.0, float(np.sum((x.T @ y) ** 2)) / y.shape[1]) if y.shape[1] else 0.0


def block_energy(directions: ArrayLike, basis: ArrayLike) -> Array:
    """Captured energy ||U^T d||^2 of each direction scaled to norm 1: [..., M, D] -> [..., M].

    U is an orthonormal basis of the span of `basis` [D, R]; in [0, 1]; zero rows have 0.
    """
    d = checks.array("directions", directions, "[..., M, D]")
    u = orthonormal(basis)
    checks.same_shape("basis's columns", u.shape[:1], "directions' rows", d.shape[-1:])
    return np.minimum(1.0, np.sum((unit(d) @ u) ** 2, axis=-1))


def members(
    directions: ArrayLike,
    basis: ArrayLike,
    live: ArrayLike | None = None,
    threshold: float = MEMBER,
) -> Mask:
    """The latents that belong to a block: live, and with energy >= threshold in its subspace.

    [..., M, D], [D, R] -> bool [..., M]; `live` is bool [..., M]. Errors as `block_energy`.
    """
    energy = block_energy(directions, basis)
    threshold = checks.between("threshold", threshold, 0, 1)
    return checks.mask("live", live, energy.shape) & (energy >= threshold)


def learned_span(directions: ArrayLike, rank: int) -> Array:
    """The top left singular subspace of the members' unit directions (as columns).

    Rows [n, D] -> orthonormal [D, r], r = min(rank, their numerical rank): what was not learned is
    a missing column. For the members of one block only: of a whole decoder the top subspace means
    nothing. Raises ValueError for rank < 1.
    """
    d = checks.array("directions", directions, "[n, D]")
    rank = checks.count("rank", rank)
    if not d.size:
        return np.zeros((d.shape[1], 0))
    _, s, vt = np.linalg.svd(unit(d), full_matrices=False)
    numerical = int(np.sum(s > s[0] * max(d.shape) * np.finfo(float).eps))
    return vt[: min(rank, numerical)].T


def recovery_angles(span: ArrayLike, basis: ArrayLike) -> Array:
    """Principal angles of a learned span [D, r] to a planted basis [D, R], radians, [R] ascending.

    Missing directions count as pi/2. Errors as `principal_angles`.
    """
    return _padded(principal_angles(span, basis), orthonormal(basis).shape[1])


def padded_angles(a: ArrayLike, b: ArrayLike) -> Array:
    """Principal angles of two spans with pi/2 for what the smaller one lacks, [max dim] ascending.

    The symmetric form of `recovery_angles`.
    """
    return _padded(principal_angles(a, b), max(orthonormal(x).shape[1] for x in (a, b)))


def _padded(angles: Array, n: int) -> Array:
    """Angles with pi/2 for each of the missing ones, [n]."""
    return np.concatenate([angles, np.full(n - len(angles), np.pi / 2)])


def _pair(a: ArrayLike, b: ArrayLike, name: str) -> tuple[Array, Array]:
    """Orthonormal bases of two spans in one space."""
    x, y = orthonormal(a, "a"), orthonormal(b, name)
    checks.same_shape(f"{name}'s columns", y.shape[:1], "a's columns", x.shape[:1])
    return x, y
