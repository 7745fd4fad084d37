"""The stability report, in words and as a table."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse.csgraph import connected_components

from synthsae.plot.finding import Finding
from synthsae.plot.phrases import count, extremes
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

COPIED = 1 - 1e-5
"""Two SAEs with a mean one-to-one cosine this high are copies, perhaps rounded to 16 bits."""

FEW = 10
"""With fewer rows an effective rank is not shown."""
FEW_SEEDS = 20
"""With fewer SAEs the values that p_hat can take are said."""
CLASSES = ("stable", "unstable")


def excess(ds: xr.Dataset) -> xr.DataArray:
    """Transfer of unstable latents at r = D / 4, less that of as many that are not unstable.

    Transfer is the energy of the other seeds' unstable latents in the top r directions of the
    latents of one seed.

    Returns:
        [..., seed].
    """
    at = ds.isel(r=abs(ds.transfer_chance.fillna(0) - 0.25).argmin("r"))
    return at.transfer_excess


def report(ds: xr.Dataset) -> Finding:
    """The stability report of one Dataset of S dictionaries."""
    n = ds.sizes["seed"]
    if not ds.live_latents.max() > 0:
        return Finding(f"{count(n, 'SAE')} without live latents.")
    text = (
        "{saes} with {live}: a live latent is found in another SAE with probability {p} (p_hat; "
        "chance {chance:.2g}). {stable:.0%} are stable, {unstable:.0%} unstable.{notes}"
    )
    values = {
        "saes": count(n, "SAE"),
        "live": _live(ds.live_latents),
        "notes": "".join(f" {note}" for note in _notes(ds)),
        "p": ds.found_share.mean().item(),
        "chance": ds.live_reappearance_chance.mean().item(),
        "stable": ds.stable_share.mean().item(),
        "unstable": ds.unstable_share.mean().item(),
    }
    return Finding(
        text, values, pd.DataFrame([*_pairs(ds), *_spans(ds), *_turning(ds), *_groups(ds)])
    )


def _notes(ds: xr.Dataset) -> Iterator[str]:
    """Sentences on few SAEs, copies, absolute cosines and dead latents, where they apply."""
    n = ds.sizes["seed"]
    if n < FEW_SEEDS:
        width = "intervals are wide" if n > 2 else "there is no interval"
        yield f"With {count(n, 'SAE')} p_hat takes {count(n, 'value')} only, and {width}."
    if groups := json.loads(ds.attrs.get("copies", "[]")):
        yield f"Copies of one another: {_named(groups)} (only the first of each counts)."
    if ds.attrs.get("cosines") == "absolute":
        yield "Cosines are absolute: a latent and its negative are the same latent."
    if "dead_latents" in ds and (dead := ds.dead_latents).any():
        each = (f"{int(n)} of {seed}" for n, seed in zip(dead, dead.seed.values, strict=True) if n)
        yield f"Dead latents are left out: {', '.join(each)}."
    if "pairwise_mcc" not in ds:
        yield "The SAEs are too large to be matched one to one."
    elif same := _copies(ds):
        yield f"The same latents, numbered differently: {_named(same)} (all count)."


Row = dict[str, object]


def _row(score: str, i: Interval, chance: float = np.nan) -> Row:
    """A row of the table: a score with its interval and what chance gives."""
    ends = {"low": float(i.low), "high": float(i.high)}
    return {"score": score, "value": float(i.estimate), **ends, "chance": float(chance)}


def _alone(score: str, value: float, chance: float = np.nan) -> Row:
    """A row without an interval."""
    return _row(score, Interval(*np.array([value, np.nan, np.nan])), chance)


def _pairs(ds: xr.Dataset) -> Iterator[Row]:
    """Scores of pairs of SAEs."""
    p = ds.live_reappearance_chance.mean()
    yield _row("p_hat of live latents", interval_of(ds.found_share), p)
    if "pairwise_mcc" not in ds:
        return
    for score, name, chance in (
        ("one-to-one cosine, mean (PW-MCC)", "pairwise_mcc", "pairwise_mcc_chance"),
        ("one-to-one cosine, median", "matched_median", "matched_median_chance"),
        ("one-to-one cosine, share of .9 or more", "matched_share", None),
        ("nearest cosine, mean (MMCS)", "mmcs", "mmcs_chance"),
        ("shared by decoder and encoder", "shared_share", None),
    ):
        if name in ds:
            by_chance = float(ds[chance].mean()) if chance else np.nan
            yield _row(score, interval_of(ds[name]), by_chance)


def _spans(ds: xr.Dataset) -> Iterator[Row]:
    """Where unstable latents live: transfer at a quarter of the dimensions, effective ranks."""
    at = ds.isel(r=abs(ds.transfer_chance.fillna(0) - 0.25).argmin("r")).mean("seed")
    if not np.isfinite(at.transfer):
        return
    yield _alone("transfer of unstable latents, r = D / 4", float(at.transfer), at.transfer_chance)
    other = float(at.transfer_other)
    yield _alone("  from latents that are not unstable", other, at.transfer_chance)
    yield _row("  excess over these, rows matched", interval_of(excess(ds)), 0.0)
    if at.transfer_stable.notnull():
        stable = float(at.transfer_stable)
        yield _alone("  from as many stable latents", stable, at.transfer_chance)
    if float(at.rank_rows) >= FEW:
        for kind in CLASSES:
            rank = (ds[f"{kind}_rank"] / ds.iid_rank).mean()
            yield _alone(f"effective rank of {kind} latents / random ones", float(rank), 1.0)


def _turning(ds: xr.Dataset) -> Iterator[Row]:
    """In how many dimensions latents of each class may turn, if the Dataset has it."""
    if "class_latent_rank" not in ds:
        return
    for kind in CLASSES:
        rank = interval_of(ds.class_latent_rank.sel(label=kind))
        yield _row(f"dimensions in which a median {kind} latent turns", rank)


def _groups(ds: xr.Dataset) -> Iterator[Row]:
    """The largest group of latents that share a subspace beyond chance."""
    n = int(ds.clusters.fillna(0))
    yield _alone("groups that share a subspace", n)
    if n:
        first = ds.isel(cluster=0)
        for score, name in (
            ("  largest: share of the latents", "cluster_share"),
            ("  largest: dimensions", "cluster_rank"),
            ("  largest: rank by squared cosines", "cluster_moment_rank"),
            ("  largest: p_hat", "cluster_reappearance"),
        ):
            yield _alone(score, float(first[name]))


def _copies(ds: xr.Dataset) -> list[list[str]]:
    """Groups of SAEs that have the same live latents, up to rounding and order."""
    live = ds.live_latents.values
    edges = (ds.pairwise_mcc.values >= COPIED) & (live[:, None] == live)
    _, label = connected_components(edges, directed=False)
    names = ds.seed_a.values
    groups = [[str(s) for s in names[label == g]] for g in np.unique(label)]
    return [group for group in groups if len(group) > 1]


def _named(groups: list[list[str]]) -> str:
    return "; ".join(", ".join(group) for group in groups)


def _live(values: xr.DataArray) -> str:
    """Range of the number of live latents of an SAE."""
    text = extremes(values, ".0f")
    return f"{text} live latent" + "s" * (text != "1")
