"""The verdict on every latent, and the reason in words."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from synthsae.arrays import Mask
from synthsae.definitions import shown
from synthsae.reports.evidence import Evidence


class Verdict(StrEnum):
    """What is known of one latent, the best first."""

    IDENTIFIABLE = "identifiable"
    COPY = "near-copy"
    SUBSPACE = "in a shared subspace"
    TOO_FEW = "too few SAEs to say"
    NOT_REPRODUCED = "not reproduced"
    DEAD = "dead"


MEANING = {
    Verdict.IDENTIFIABLE: "The SAEs share this direction more closely than free rotation allows.",
    Verdict.COPY: "It nearly copies another latent of its SAE, which is identifiable.",
    Verdict.SUBSPACE: "It lies in a subspace that the SAEs share; inside it, it is free to turn.",
    Verdict.TOO_FEW: "It is on no list, and with so few SAEs p_hat may still be high.",
    Verdict.NOT_REPRODUCED: "It is on no list, and p_hat is surely below the stable one.",
    Verdict.DEAD: "It never fires, or its decoder row is zero.",
}
"""Verdict -> what it means, in a sentence."""


def verdicts(e: Evidence) -> NDArray[np.object_]:
    """The verdict on every latent, [S, M].

    A live latent that no list holds is "not reproduced" if the exact interval of its p_hat ends
    below `definitions.stable`; otherwise more SAEs could still show that it is stable.
    """
    open_ = (e.n_others < 2) | (e.p_hat.high >= e.saes.definitions.stable)
    cases: list[tuple[Mask, Verdict]] = [
        (~e.saes.live, Verdict.DEAD),
        (e.copy_of >= 0, Verdict.COPY),
        (e.identity >= 0, Verdict.IDENTIFIABLE),
        (e.subspace >= 0, Verdict.SUBSPACE),
        (open_, Verdict.TOO_FEW),
    ]
    out = np.full(e.saes.live.shape, Verdict.NOT_REPRODUCED, dtype=object)
    for mask, verdict in reversed(cases):
        out[mask] = verdict
    return out


def reasons(e: Evidence, verdict: NDArray[np.object_]) -> NDArray[np.object_]:
    """Why each latent has its verdict: a sentence with the numbers behind it, [S, M]."""
    out = np.empty(verdict.shape, dtype=object)
    write = {
        Verdict.DEAD: _dead,
        Verdict.IDENTIFIABLE: _identifiable,
        Verdict.COPY: _copy,
        Verdict.SUBSPACE: _subspace,
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
    item = e.lists.isel(identity=e.identity[at])
    n, found = e.n_others + 1, int(item.identity_found)
    cosine = float(item.identity_cosine)
    text = f"{found} of {n} SAEs have it, at a mean cosine of {_two(cosine)} (q {e.q[at]:.2g})."
    if not item.identity_claimed:
        text += " It may be an axis and no feature: the SAEs have its opposite too."
    return text


def _copy(e: Evidence, at: At) -> str:
    other = e.copy_of[at]
    cosine = float(e.saes.directions[at] @ e.saes.directions[at[0], other])
    of = f"latent {other} of the same SAE"
    return f"Cosine {_two(cosine)} with {of}, which stands for identity {e.identity[at]}."


def _subspace(e: Evidence, at: At) -> str:
    item = e.lists.isel(subspace=e.subspace[at])
    n, found = e.n_others + 1, int(item.subspace_found)
    share = e.subspace_energy[at]
    return (
        f"{share:.0%} of it lies in subspace {e.subspace[at]}, of rank {int(item.subspace_rank)}, "
        f"which {found} of {n} SAEs share (q {e.q[at]:.2g})."
    )


def _not_listed(e: Evidence, at: At) -> str:
    others = f"{e.n_others} other SAE" + "s" * (e.n_others != 1)
    text = f"Found in {e.found[at]} of {others}, at a cosine of at most {_two(e.best_cosine[at])}"
    if e.n_others < 2:
        return f"{text}; the lists need three SAEs."
    low, high = e.p_hat.low[at], e.p_hat.high[at]
    text += f": p_hat is {_two(low)} to {_two(high)}."
    if np.isfinite(e.q[at]):
        text += f" A candidate, but freely turned codes agree as well with q {e.q[at]:.2g}."
    return f"{text} It may turn in {e.rank.rank[at]:.0f} dimensions."


def _two(value: float) -> str:
    """A cosine or share, to two decimals."""
    return f"{value:.2f}"
