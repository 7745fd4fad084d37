"""Angles and overlap between subspaces, and the subspace that the latents of a block span.

A subspace is given by the columns of an array [D, R] of any length and at any angle. Directions of
latents are rows.
"""

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Index, Mask
from synthsae.definitions import DEFAULTS
from synthsae.geometry import unit

MEMBER = DEFAULTS.member


def orthonormal(basis: ArrayLike, name: str = "basis") -> Array:
    """Orthonormal basis [D, rank] of the span of the columns of `basis` [D, R].

    Columns are scaled to norm 1 first, so that their lengths do not decide the numerical rank.
    Errors call the argument `name`.
    """
    b = checks.array(name, basis, "[D, R]")
    return scipy.linalg.orth(unit(b.T).T) if b.size else b[:, :0]


def principal_angles(a: ArrayLike, b: ArrayLike) -> Array:
    """Principal angles between two column spans, [D, R1] and [D, R2], in radians, ascending.

    Arcsin for small angles and arccos for large ones (Knyazev and Argentati 2002), so that angles
    of 1e-9 and of pi/2 are both right, also in one result. `scipy.linalg.subspace_angles` (1.17)
    pairs the two in the wrong order if the numbers of small and large angles differ, with errors of
    1e-8.

    Returns:
        min(dim a, dim b) angles.
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
    """||A^T U||_F^2 / dim U, the mean squared cosine over the directions of U, in [0, 1].

    A and U are orthonormal bases of the column spans of a [D, R1] and u [D, R2]. Directions that A
    lacks count 0, so overlap(a, u) and overlap(u, a) differ if the dimensions differ. An empty U
    has overlap 0. Random spans have R1 / D on average.
    """
    x, y = _pair(a, u, "u")
    return min(1.0, float(np.sum((x.T @ y) ** 2)) / y.shape[1]) if y.shape[1] else 0.0


def block_energy(directions: ArrayLike, basis: ArrayLike) -> Array:
    """Energy ||U^T d||^2 of directions [..., M, D], scaled to norm 1, in a subspace, [..., M].

    U is an orthonormal basis of the column span of `basis` [D, R]. In [0, 1]; rows of zeros have 0.
    """
    d = checks.array("directions", directions, "[..., M, D]")
    u = orthonormal(basis)
    checks.same_shape("basis's columns", u.shape[:1], "directions' rows", d.shape[-1:])
    return np.minimum(1.0, np.sum((unit(d) @ u) ** 2, axis=-1))


def nearest(directions: ArrayLike, bases: ArrayLike) -> Index:
    """Index of the subspace that has most of a latent's energy, [..., M].

    Where blocks overlap, a latent can be a member of several; this is the one that it belongs to. A
    latent that lies in one of two blocks with principal angles t has the energy cos^2 t in the
    other: it is a member of both, at a threshold of .5, if t is 45 degrees or less.

    Args:
        directions: decoder directions of any length, [..., M, D].
        bases: columns that span each subspace, [G, D, R], G >= 1.
    """
    u = checks.array("bases", bases, "[G, D, R]")
    checks.count("bases's subspaces", len(u))
    return np.argmax([block_energy(directions, basis) for basis in u], axis=0)


def members(
    directions: ArrayLike,
    basis: ArrayLike,
    live: ArrayLike | None = None,
    threshold: float = MEMBER,
) -> Mask:
    """Which latents are members of a block: live, with an energy >= threshold in it, bool [..., M].

    Args:
        directions: decoder directions, [..., M, D].
        basis: columns that span the block, [D, R].
        live: which latents are live, bool [..., M]; None stands for all.
        threshold: least share of a latent's energy in the block.
    """
    energy = block_energy(directions, basis)
    threshold = checks.between("threshold", threshold, 0, 1)
    return checks.mask("live", live, energy.shape) & (energy >= threshold)


def learned_span(directions: ArrayLike, rank: int) -> Array:
    """Orthonormal basis of the span of a block's members, [D, min(rank, numerical rank)].

    The top singular subspace of the members' unit directions [n, D]. A direction that was not
    learned is a missing column. Pass the members of one block only: the top subspace of a whole
    decoder has no meaning.
    """
    d = checks.array("directions", directions, "[n, D]")
    rank = checks.count("rank", rank)
    if not d.size:
        return np.zeros((d.shape[1], 0))
    _, s, vt = np.linalg.svd(unit(d), full_matrices=False)
    numerical = int(np.sum(s > s[0] * max(d.shape) * np.finfo(float).eps))
    return vt[: min(rank, numerical)].T


def recovery_angles(span: ArrayLike, basis: ArrayLike) -> Array:
    """Principal angles of a learned span [D, r] to a planted basis [D, R], radians, ascending, [R].

    Missing directions count as pi/2.
    """
    return _padded(principal_angles(span, basis), orthonormal(basis).shape[1])


def padded_angles(a: ArrayLike, b: ArrayLike) -> Array:
    """Principal angles of two spans, radians, ascending, with pi/2 for missing ones, [max dim].

    The symmetric form of `recovery_angles`.
    """
    return _padded(principal_angles(a, b), max(orthonormal(x).shape[1] for x in (a, b)))


def _padded(angles: Array, n: int) -> Array:
    """`angles` followed by pi/2 for each missing one, [n]."""
    return np.concatenate([angles, np.full(n - len(angles), np.pi / 2)])


def _pair(a: ArrayLike, b: ArrayLike, name: str) -> tuple[Array, Array]:
    """Orthonormal bases of two spans in one space."""
    x, y = orthonormal(a, "a"), orthonormal(b, name)
    checks.same_shape(f"{name}'s columns", y.shape[:1], "a's columns", x.shape[:1])
    return x, y
