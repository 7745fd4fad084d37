"""The verdict on every latent, and the reason in words."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from synthsae.definitions import shown
from synthsae.metrics.reappearance import ROUNDING
from synthsae.metrics.verdicts import Verdict as Listed
from synthsae.reports.evidence import Evidence


class Verdict(StrEnum):
    """What is known of one latent, the best first."""

    IDENTIFIABLE = "identifiable"
    DOUBLE = "doubles another latent"
    SUBSPACE = "in a shared subspace"
    STABLE = "stable, not identified"
    TOO_FEW = "too few SAEs to say"
    NOT_REPRODUCED = "not reproduced"
    DEAD = "dead"


MEANING = {
    Verdict.IDENTIFIABLE: "The SAEs share this direction more closely than free rotation allows.",
    Verdict.DOUBLE: "Another latent of its SAE, which is identifiable, has the same counterparts.",
    Verdict.SUBSPACE: "It lies in a subspace that the SAEs share; inside it, it is free to turn.",
    Verdict.STABLE: "The other SAEs have it, but too loosely for so few to exclude free rotation.",
    Verdict.TOO_FEW: "Some other SAEs lack it, but p_hat may still be that of a stable latent.",
    Verdict.NOT_REPRODUCED: "On no list, and p_hat is surely below that of a stable latent.",
    Verdict.DEAD: "It never fires, or its decoder row is zero.",
}
"""Verdict -> what it means, in a sentence."""
LISTED = {
    Listed.DEAD: Verdict.DEAD,
    Listed.IDENTITY: Verdict.IDENTIFIABLE,
    Listed.SUBSPACE: Verdict.SUBSPACE,
}
"""What `consensus` says of a latent -> the verdict. Of the others p_hat decides."""
REJECTED = (Listed.IDENTITY_REJECTED, Listed.SUBSPACE_REJECTED)


def verdicts(e: Evidence) -> NDArray[np.object_]:
    """The verdict on every latent, [S, M].

    That of a live latent which `consensus` does not list depends on its p_hat: stable from
    `definitions.stable` on, not reproduced if its exact interval ends below that.
    """
    stable = e.saes.definitions.stable
    out = np.full(e.saes.live.shape, Verdict.NOT_REPRODUCED, dtype=object)
    out[e.p_hat.high >= stable] = Verdict.TOO_FEW
    if e.n_others > 1:
        out[e.p_hat.estimate >= stable - ROUNDING] = Verdict.STABLE
    out[e.doubles >= 0] = Verdict.DOUBLE
    for code, verdict in LISTED.items():
        out[e.listed == code] = verdict
    return out


def reasons(e: Evidence, verdict: NDArray[np.object_]) -> NDArray[np.object_]:
    """Why each latent has its verdict: a sentence with the numbers behind it, [S, M]."""
    out = np.empty(verdict.shape, dtype=object)
    write = {
        Verdict.DEAD: _dead,
        Verdict.IDENTIFIABLE: _identifiable,
        Verdict.DOUBLE: _double,
        Verdict.SUBSPACE: _subspace,
        Verdict.STABLE: _not_listed,
        Verdict.TOO_FEW: _not_listed,
        Verdict.NOT_REPRODUCED: _not_listed,
    }
    for at, v in np.ndenumerate(verdict):
        out[at] = write[v](e, at)
    return out


At = tuple[int, ...]


def _dead(e: Evidence, at: At) -> str:
    if not e.saes.directions[at].any():
        return "Its decoder row is zero."
    rate, least = e.rates[at], e.saes.definitions.live
    if np.isnan(rate):
        return "It is marked as dead."
    return f"It fires on {rate:.2g} of the samples; live is {shown(least)} or more."


def _identifiable(e: Evidence, at: At) -> str:
    i, n = e.identity[at], e.n_others + 1
    found, cosine = e.column("identity_found")[i], e.column("identity_cosine")[i]
    text = f"{found} of {n} SAEs have it, at a mean cosine of {_two(cosine)} (q {e.q[at]:.2g})."
    if not e.column("identity_claimed")[i]:
        text += " It may be an axis and no feature: the SAEs have its opposite too."
    return text


def _double(e: Evidence, at: At) -> str:
    other, theirs = e.doubles[at], e.identity[at[0], e.doubles[at]]
    cosine = float(e.saes.directions[at] @ e.saes.directions[at[0], other])
    text = f"Latent {other} of the same SAE, at cosine {_two(cosine)}, stands for identity {theirs}"
    return f"{text}. p_hat counts both."


def _subspace(e: Evidence, at: At) -> str:
    g, n = e.subspace[at], e.n_others + 1
    found, rank = e.column("subspace_found")[g], e.column("subspace_rank")[g]
    return (
        f"{e.subspace_energy[at]:.0%} of it lies in subspace {g}, of rank {rank}, "
        f"which {found} of {n} SAEs share (q {e.q[at]:.2g})."
    )


def _not_listed(e: Evidence, at: At) -> str:
    others = f"{e.n_others} other SAE" + "s" * (e.n_others != 1)
    best = e.best_cosine[at]
    text = f"Found in {e.found[at]} of {others}"
    text += f", nearest at cosine {_two(best)}" if np.isfinite(best) else ""
    if e.n_others < 2:
        return f"{text}. The lists need three SAEs."
    low, high = e.p_hat.low[at], e.p_hat.high[at]
    text += f" (p_hat {_two(low)} to {_two(high)})."
    if e.listed[at] in REJECTED:
        kind = "direction" if e.listed[at] == Listed.IDENTITY_REJECTED else "subspace"
        text += f" Candidate for a shared {kind}, but q is {e.q[at]:.2g}: chance may do it."
    elif e.listed[at] == Listed.AMBIGUOUS:
        text += " Its counterparts are not one latent in each SAE."
    return f"{text} {_turning(e, at)}"


def _turning(e: Evidence, at: At) -> str:
    """In how many dimensions it may turn, and whether its counterparts deviate like that."""
    rank, deviation = e.rank.rank[at], e.deviation[at]
    text = f"It may turn in {rank:.1f} dimensions"
    if not np.isfinite(deviation):
        return f"{text}."
    return f"{text}; counterparts deviate in {deviation:.1f} (free rotation: {rank - 1:.1f})."


def _two(value: float) -> str:
    """A cosine or share, to two decimals."""
    return f"{value:.2f}"
