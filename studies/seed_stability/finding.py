"""The finding of `seed_stability`: p_hat over sizes and layers, and what its classes are."""

import numpy as np
import pandas as pd
import xarray as xr
from synthsae.studies.seed_stability.figure import WITHIN

from synthsae.plot.common import slices
from synthsae.plot.finding import Finding
from synthsae.plot.words import excess
from synthsae.seeds.intervals import interval_of


def of_sizes(ds: xr.Dataset) -> Finding:
    """p_hat at the smallest and the largest dictionary, a row for each size, layer and setting."""
    ds = ds.sortby("n_latents")
    table = pd.DataFrame([_row(part) for _, part in slices(ds, WITHIN)])
    first, last = (table[table.latents == n] for n in (table.latents.min(), table.latents.max()))
    values: dict[str, float | str] = {
        "small": float(table.latents.min()),
        "large": float(table.latents.max()),
        "p": last.p_hat.mean(),
        "p_small": first.p_hat.mean(),
    }
    text = "p_hat of live latents is {p} with {large:.0f} latents"
    text += ", and {p_small} with {small:.0f}." if len(first) < len(table) else "."
    for axis, what in (("n_latents", "size"), ("layer", "depth")):
        if ds.sizes.get(axis, 1) > 1:
            text += f" With {what}, stability {{{what}}}."
            values[what] = _verdict(ds, axis)
    return Finding(text, values, table)


def _verdict(ds: xr.Dataset, axis: str) -> str:
    """Does p_hat fall along an axis? The interval of the paired difference of its ends decides."""
    ends = ds.found_share.sortby(axis).isel({axis: [0, -1]})
    ends = ends.isel(n_latents=-1) if axis != "n_latents" else ends
    changes = interval_of(ends.isel({axis: 1}) - ends.isel({axis: 0}))
    low, high = np.ravel(changes.low), np.ravel(changes.high)
    if not np.isfinite(low).all():
        return "cannot be judged from two seeds"
    words = np.where(high < 0, "falls", np.where(low > 0, "rises", "does not clearly change"))
    return str(words[0]) if len(set(words)) == 1 else "falls, rises or stays, by setting"


def _row(one: xr.Dataset) -> dict[str, object]:
    """One dictionary size at one setting."""
    p, more = interval_of(one.found_share), interval_of(excess(one))
    row: dict[str, object] = {"layer": int(one.layer)} if "layer" in one.coords else {}
    row |= {
        "latents": int(one.n_latents),
        "p_hat": float(p.estimate),
        "low": float(p.low),
        "high": float(p.high),
        "p_hat at step 0": one.initial_reappearance.mean().item(),
        "median cosine": one.matched_median.mean().item(),
        "random": one.matched_median_chance.mean().item(),
        "EV": one.explained_variance.mean().item(),
        "transfer beyond its null": float(more.estimate),
    }
    return row | (_function(one) if "masked_loss" in one else {})


def _function(one: xr.Dataset) -> dict[str, float]:
    """Loss and surface form of stable and unstable latents, means over seeds."""
    found = {"loss recovered": one.loss_recovered.mean().item()}
    for kind in one.masked_class.values:
        both = one.sel(masked_class=kind)[["masked_loss", "matched_loss"]]
        known = both.dropna("zeroed", subset=[*both])
        if known.sizes["zeroed"] and float(known.zeroed[-1]):
            last = known.isel(zeroed=-1)
            found[f"nats, {kind} zeroed"] = last.masked_loss.mean().item()
            found[f"nats, others for {kind}"] = last.matched_loss.mean().item()
    for label in ("stable", "unstable"):
        part = one.sel(label=label)
        found[f"rate, {label}"] = part.firing_rate.mean().item()
        found[f"surface form, {label}"] = part.surface_form.mean().item()
    return found
