"""Why each latent is, or is not, on a list of `consensus`."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthsae.arrays import Array, Index, Mask
from synthsae.metrics.alignment import TIGHT
from synthsae.metrics.consensus import Consensus
from synthsae.metrics.near_copies import copy_of
from synthsae.metrics.pairs import Pairs


class Verdict(IntEnum):
    """What became of a latent. If several apply, the first in this order."""

    DEAD = 0  # not live
    IDENTITY = 1  # the latent of a listed identity
    NEAR_COPY = 2  # a near-copy of such a latent of its own SAE
    SUBSPACE = 3  # in a listed subspace
    IDENTITY_REJECTED = 4  # of a candidate for an identity, whose q is too large
    SUBSPACE_REJECTED = 5  # in a candidate for a subspace, whose q is too large
    NO_COUNTERPART = 6  # no latent of another SAE has cosine `TIGHT` or more with it
    TOO_FEW_SAES = 7  # it has counterparts, together with it in half of the SAEs or fewer
    AMBIGUOUS = 8  # it has them in most SAEs, but they are not one latent in each


class Verdicts(NamedTuple):
    """What became of each latent, [S, M] each.

    Attributes:
        code: the `Verdict`.
        q: q-value of its candidate, the smallest if it is in several; NaN without one.
        candidate: index of the candidate for an identity that the latent belongs to, directly or
            as a near-copy; -1: none. Listed candidates come first.
        copy_of: the latent of a listed identity in its SAE that it is a near-copy of; -1: none.
    """

    code: NDArray[np.int8]
    q: Array
    candidate: Index
    copy_of: Index


def verdicts(live: Mask, found: Consensus, alpha: float, same: float) -> Verdicts:
    """Why each latent is, or is not, on the lists of the candidates with q <= `alpha`.

    Args:
        live: live latents, bool [S, M].
        found: what `consensus` returned for them.
        alpha: largest q-value of a listed candidate.
        same: least cosine of two near-copies.
    """
    latents = found.identities.latents
    n = int((found.identity_q <= alpha).sum())
    own = _index(latents, live.shape)
    copy = copy_of(latents[:n], found.near, same, live.shape[1])
    candidate = np.where(copy >= 0, _at(own, copy), own)
    rejected = _at(own, copy_of(latents[n:], found.near, same, live.shape[1]))
    candidate = np.where(live & (candidate < 0), rejected, candidate)
    space_q = np.full(live.shape, np.nan)
    for space, q in zip(found.subspaces, found.subspace_q, strict=True):
        space_q[space.members] = np.fmin(space_q[space.members], q)
    code = np.full(live.shape, Verdict.DEAD, dtype=np.int8)
    tests = (
        (Verdict.NEAR_COPY, copy >= 0),
        (Verdict.IDENTITY, (candidate >= 0) & (candidate < n)),
        (Verdict.SUBSPACE, space_q <= alpha),
        (Verdict.IDENTITY_REJECTED, candidate >= n),
        (Verdict.SUBSPACE_REJECTED, space_q > alpha),
    )
    for verdict, true in tests:
        code[live & (code == Verdict.DEAD) & true] = verdict
    left = live & (code == Verdict.DEAD)
    code[left] = _unmatched(found.near, live.shape)[left]
    in_space = (code == Verdict.SUBSPACE) | (code == Verdict.SUBSPACE_REJECTED)
    q = np.where(in_space, space_q, np.append(found.identity_q, np.nan)[candidate])
    return Verdicts(code, q, candidate, copy)


def _at(values: Index, latent: Index) -> Index:
    """values [S, M] at the latents [S, M] of the same seed; -1 where `latent` is -1."""
    return np.where(latent >= 0, np.take_along_axis(values, latent, axis=1), -1)


def _index(latents: Index, shape: tuple[int, ...]) -> Index:
    """The candidate of each latent, [S, M], for candidates [n, S]; -1 without one."""
    out = np.full(shape, -1)
    for s, row in enumerate(latents.T):
        (at,) = np.nonzero(row >= 0)
        out[s, row[at]] = at
    return out


def _unmatched(near: Pairs, shape: tuple[int, ...]) -> Index:
    """The `Verdict` of latents that are in no candidate, by the SAEs with a counterpart, [S, M]."""
    s, m = shape
    near = near.take((near.cosine >= TIGHT) & (near.i // m != near.j // m))
    latent, other = np.concatenate([near.i, near.j]), np.concatenate([near.j, near.i])
    pairs = np.unique(latent * s + other // m)
    found = np.bincount(pairs // s, minlength=s * m).reshape(shape)
    few = np.where(2 * (found + 1) <= s, Verdict.TOO_FEW_SAES, Verdict.AMBIGUOUS)
    return np.where(found, few, Verdict.NO_COUNTERPART)
