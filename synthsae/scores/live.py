"""Stability of all live latents, without the planted truth."""

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.definitions import shown
from synthsae.scores.run import Dictionaries, Run, labelled, over_others


def live_stability(run: Run | Dictionaries) -> xr.Dataset:
    """Mean p_hat of all live latents, and the shares of stable and of unstable ones.

    The classes are those of Gerasimov et al. (arXiv 2606.12138), with thresholds `Definitions`.
    """
    count = run.live.sum(axis=1)
    defined = run.definitions
    share = {name: (run.labels == name).sum(axis=1) / count for name in ("stable", "unstable")}
    return labelled(
        run,
        live_latents=(("seed",), count, "live latents", "latents"),
        live_reappearance=(
            ("seed",),
            np.nanmean(run.p_hat, axis=1),
            "mean p_hat over all live latents",
        ),
        live_reappearance_chance=(
            ("seed",),
            over_others(theory.chance_found(run.d_model, count, defined.theta, run.absolute)),
            "p_hat of a random direction at the same live counts",
        ),
        stable_share=(
            ("seed",),
            share["stable"],
            f"share of live latents with p_hat >= {shown(defined.stable)}",
        ),
        unstable_share=(
            ("seed",),
            share["unstable"],
            f"share of live latents with p_hat <= {shown(defined.unstable)}",
        ),
    )
