"""The numbers that one would put in a paper, with intervals over SAEs."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthsae import theory
from synthsae.arrays import Array, Mask
from synthsae.definitions import shown
from synthsae.reports.evidence import Evidence
from synthsae.reports.verdicts import Verdict
from synthsae.stats import Interval, row_interval


def summary(e: Evidence, verdict: NDArray[np.object_]) -> pd.DataFrame:
    """Five numbers: mean p_hat, three shares of the live latents, and the rank of the others.

    Each is a mean over SAEs. The intervals are `stats.row_interval`: a jackknife over SAEs for
    p_hat, conservative for the others; NaN with two SAEs.

    Args:
        e: the evidence.
        verdict: of each latent, [S, M].

    Returns:
        Indexed by the quantity in words; columns `value`, `low`, `high`, and `chance`, the value
        for random directions where there is one.
    """
    live = e.saes.live
    rest = live & ~np.isin(verdict, [Verdict.IDENTIFIABLE, Verdict.DOUBLE])
    ranks = np.array([_median(r[on]) for r, on in zip(e.rank.rank, rest, strict=True)])
    chance = theory.chance_found(e.saes.d_model, live.sum(axis=1), e.saes.definitions.theta)
    stable = shown(e.saes.definitions.stable)
    others = (chance.sum() - chance) / e.n_others
    rows = {
        "p_hat of live latents, mean": (
            _interval(np.nanmean(e.p_hat.estimate, axis=1), e.level),
            float(others.mean()),
        ),
        f"share of live latents that are stable (p_hat of {stable} or more)": (
            _share(e.saes.labels == "stable", live, e.level),
            np.nan,
        ),
        "share that is identifiable": (_share(verdict == Verdict.IDENTIFIABLE, live, e.level), 0.0),
        "share in a shared subspace": (_share(verdict == Verdict.SUBSPACE, live, e.level), 0.0),
        "dimensions in which a median other latent turns": (
            _interval(ranks, e.level, (1, e.saes.d_model)),
            float(e.saes.d_model),
        ),
    }
    return pd.DataFrame(
        [[*map(float, interval), by_chance] for interval, by_chance in rows.values()],
        index=pd.Index(rows, name="quantity"),
        columns=["value", "low", "high", "chance"],
    )


def _share(chosen: Mask, live: Mask, level: float) -> Interval:
    """Share of the live latents that are chosen, mean over SAEs."""
    return _interval((chosen & live).sum(axis=1) / live.sum(axis=1), level)


def _interval(rows: Array, level: float, within: tuple[float, float] = (0, 1)) -> Interval:
    """Mean of a number of each SAE with its interval, clipped to the range of the quantity."""
    known = rows[np.isfinite(rows)]
    if len(known) < 2:
        return Interval(*np.full(3, np.nan))
    found = row_interval(known, level)
    return Interval(found.estimate, *(np.clip(v, *within) for v in found[1:]))


def _median(x: Array) -> float:
    return float(np.median(x)) if x.size else np.nan
