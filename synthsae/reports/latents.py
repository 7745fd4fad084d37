"""The table of all latents: a row for each SAE and latent."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthsae.reports.evidence import Evidence
from synthsae.reports.verdicts import Verdict, reasons

COLUMNS = {
    "verdict": "what is known of the latent",
    "p_hat": "share of the other SAEs in which it is found",
    "p_hat_low": "lower end of the exact interval of p_hat",
    "p_hat_high": "upper end",
    "rank": "dimensions in which it may turn from SAE to SAE",
    "rank_low": "lower end of the interval of rank",
    "rank_high": "upper end",
    "deviation": "dimensions in which its counterparts deviate from their mean",
    "live": "whether it fires",
    "firing_rate": "share of the samples on which it fires",
    "energy": "share of its SAE's energy",
    "identity": "number in the list of identities, or -1",
    "doubles": "identifiable latent of the same SAE with the same counterparts, or -1",
    "subspace": "number in the list of subspaces, or -1",
    "subspace_energy": "share of its squared norm inside the subspace",
    "q": "error rate at which its list item, or its rejected candidate, would be listed",
    "counterparts": "nearest latent in each SAE, -1 for its own SAE",
    "cosines": "cosines of the counterparts",
    "why": "the reason for the verdict, with its numbers",
}
"""Columns of `Report.latents` -> what they mean."""


def table(e: Evidence, verdict: NDArray[np.object_]) -> pd.DataFrame:
    """A row for each SAE and latent, with the columns `COLUMNS`.

    Args:
        e: the evidence.
        verdict: of each latent, [S, M].

    Returns:
        The index has the levels `sae`, the SAE's name, and `latent`, its row in the decoder. Rows
        that only pad a smaller SAE are left out.
    """
    near = e.counterparts
    columns = {
        "verdict": pd.Categorical(verdict.ravel(), [v.value for v in Verdict]),
        "p_hat": e.p_hat.estimate,
        "p_hat_low": e.p_hat.low,
        "p_hat_high": e.p_hat.high,
        "rank": e.rank.rank,
        "rank_low": e.rank.low,
        "rank_high": e.rank.high,
        "deviation": e.deviation,
        "live": e.saes.live,
        "firing_rate": e.rates,
        "energy": e.energy,
        "identity": e.identity,
        "doubles": e.doubles,
        "subspace": e.subspace,
        "subspace_energy": e.subspace_energy,
        "q": e.q,
        "counterparts": _lists(near.latent),
        "cosines": _lists(near.cosine),
        "why": reasons(e, verdict),
    }
    names, m = list(e.saes.seeds), e.saes.live.shape[1]
    index = pd.MultiIndex.from_product([names, range(m)], names=["sae", "latent"])
    flat = {n: v if isinstance(v, pd.Categorical) else v.ravel() for n, v in columns.items()}
    made = pd.DataFrame(flat, index=index)
    if not e.saes.sizes:
        return made
    real = np.arange(m) < np.array(e.saes.sizes)[:, None]
    return made[real.ravel()]


def _lists(x: np.ndarray) -> np.ndarray:
    """`x` [S, S, M] as one array [S] for each latent: object [S, M]."""
    out = np.empty((len(x), x.shape[2]), dtype=object)
    for s, rows in enumerate(x):
        for i, row in enumerate(np.ascontiguousarray(rows.T)):
            out[s, i] = row
    return out
