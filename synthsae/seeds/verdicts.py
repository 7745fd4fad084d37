"""Labels for what became of each latent, and of the candidates that are on no list."""

from typing import Any

import numpy as np
import xarray as xr

from synthsae.arrays import Array, Index, Mask
from synthsae.metrics.consensus import Consensus
from synthsae.metrics.verdicts import Verdict, Verdicts

PER_LATENT = ("seed", "latent")
VERDICTS = {
    "flag_values": [int(v) for v in Verdict],
    "flag_meanings": " ".join(v.name.lower() for v in Verdict),
    "long_name": "why the latent is, or is not, on a list",
}
KINDS = {
    "flag_values": [0, 1],
    "flag_meanings": "identity subspace",
    "long_name": "what it is a candidate for",
}


def latent_variables(found: Verdicts, n: int) -> xr.Dataset:
    """The variables `latent_*` [seed, latent] of lists with `n` identities."""
    q = {"long_name": "q-value of the latent's candidate; NaN: in none"}
    identity = {"long_name": "listed identity it belongs to, also as a near-copy; -1: none"}
    copy = {"long_name": "latent of that identity that it is a near-copy of; -1: it is none"}
    return xr.Dataset(
        {
            "latent_verdict": (PER_LATENT, found.code, VERDICTS),
            "latent_q": (PER_LATENT, found.q, q),
            "latent_identity": (PER_LATENT, listed(found, n), identity),
            "latent_copy_of": (PER_LATENT, found.copy_of, copy),
        }
    )


def listed(found: Verdicts, n: int) -> Index:
    """The identity, of n that are listed, that each latent belongs to, [S, M]; -1: none."""
    return np.where(found.candidate < n, found.candidate, -1)


def at_identities(values: Array | Mask, found: Verdicts, n: int) -> Array:
    """Sum of values [S, M] over the latents of each of n listed identities, [n, S]."""
    total = np.zeros((n, len(values)))
    for s, identity in enumerate(listed(found, n)):
        (at,) = np.nonzero(identity >= 0)
        total[:, s] = np.bincount(identity[at], values[s, at], minlength=n)
    return total


def candidate_variables(found: Consensus, of: Verdicts, alpha: float) -> xr.Dataset:
    """The variables `candidate_*` of the candidates with q > `alpha`, identities first.

    Members are a ragged array: those of a candidate follow one another, `candidate_members` in
    number.
    """
    n = int((found.identity_q <= alpha).sum())
    same = [of.candidate == i for i in range(n, len(found.identity_q))]
    spaces = [x for x, q in zip(found.subspaces, found.subspace_q, strict=True) if q > alpha]
    members = [np.argwhere(m) for m in (*same, *(x.members for x in spaces))]
    q = np.concatenate([found.identity_q[n:], found.subspace_q[found.subspace_q > alpha]])
    seeds = [*(found.identities.latents[n:] >= 0).sum(axis=1), *(x.found for x in spaces)]
    where = np.concatenate([np.zeros((0, 2), dtype=np.intp), *members])

    def each(dim: str, values: Any, text: str) -> tuple[str, Index, dict[str, str]]:
        return dim, np.array(values, dtype=np.intp), {"long_name": text}

    kinds = np.repeat(np.array([0, 1], dtype=np.int8), [len(same), len(spaces)])
    return xr.Dataset(
        {
            "candidate_kind": ("candidate", kinds, KINDS),
            "candidate_q": ("candidate", q, {"long_name": "q-value"}),
            "candidate_rank": each(
                "candidate", [1] * len(same) + [x.rank for x in spaces], "dimensions"
            ),
            "candidate_found": each("candidate", seeds, "SAEs in which all of it is found"),
            "candidate_members": each("candidate", [len(m) for m in members], "number of latents"),
            "candidate_member_seed": each("member", where[:, 0], "position of a member's SAE"),
            "candidate_member_latent": each("member", where[:, 1], "index of the member there"),
        }
    )
