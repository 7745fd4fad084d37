"""The whole dictionary at once, as one without the truth would see it."""

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.metrics import reappearance
from synthsae.results import Dictionaries, Run, labelled, over_others


def live_stability(run: Run | Dictionaries) -> xr.Dataset:
    """Mean p_hat over all live latents, and how many of them are stable or unstable.

    The published labels (Gerasimov et al.): stable where p_hat >= .95, unstable where <= .05.
    """
    count = run.live.sum(axis=1)
    label = reappearance.labels(run.p_hat)
    share = {name: (label == name).sum(axis=1) / count for name in ("stable", "unstable")}
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
            over_others(theory.chance_found(run.d_model, count, absolute=run.absolute)),
            "p_hat of a random direction at the same live counts",
        ),
        stable_share=(("seed",), share["stable"], "share of live latents with p_hat >= .95"),
        unstable_share=(("seed",), share["unstable"], "share of live latents with p_hat <= .05"),
    )
