"""The stability report in sentences, for a study or for SAEs of which only weights are known."""

import json

import numpy as np
import xarray as xr
from scipy.sparse.csgraph import connected_components

from synthsae.plot.common import interval_over_pairs, interval_over_seeds
from synthsae.plot.phrases import COSINE, SHARE, Range, count, extremes, interval, number

COPIED = 1 - 1e-5
"""Two SAEs with a mean one-to-one cosine this high are copies, perhaps rounded to 16 bits."""

FEW = 10
"""With fewer rows an effective rank is not shown."""
CLASSES = ("stable", "unstable")


def pairs_in_words(matrix: xr.DataArray, within: Range = SHARE) -> str:
    """Mean over pairs of seeds and its jackknife interval as text: `0.94 [0.90, 0.99]`."""
    return interval(interval_over_pairs(matrix), within=within)


def excess(ds: xr.Dataset) -> xr.DataArray:
    """Transfer of unstable latents at r = D / 4 minus transfer of equally many live latents.

    Transfer is the energy of the other seeds' unstable latents in the top r directions of the
    latents of one seed.

    Returns:
        [..., seed].
    """
    at = ds.isel(r=abs(ds.transfer_chance.fillna(0) - 0.25).argmin("r"))
    return at.transfer - at.transfer_live


def report(ds: xr.Dataset) -> str:
    """The stability report of one Dataset of S dictionaries, as text."""
    parts = [_found(ds), _preparation(ds), _matched(ds), _spans(ds), _clusters(ds)]
    return " ".join(part for part in parts if part)


def _preparation(ds: xr.Dataset) -> str:
    """Sentences on copies, on absolute cosines and on dead latents."""
    text = []
    if groups := json.loads(ds.attrs.get("copies", "[]")):
        text.append(f"Copies of one another: {_groups(groups)} (only the first of each counts).")
    if ds.attrs.get("cosines") == "absolute":
        text.append("Cosines are absolute: a latent and its negative are the same latent.")
    if "dead_latents" in ds and (dead := ds.dead_latents).any():
        each = (f"{int(n)} of {seed}" for n, seed in zip(dead, dead.seed.values, strict=True) if n)
        text.append(f"Dead latents are left out: {', '.join(each)}.")
    return " ".join(text)


def _found(ds: xr.Dataset) -> str:
    n = ds.sizes["seed"]
    if not ds.live_latents.max() > 0:
        return f"{count(n, 'SAE')} without live latents."
    middle = 1 - ds.stable_share - ds.unstable_share
    shares = (float(v.mean()) for v in (ds.stable_share, middle, ds.unstable_share))
    stable, between, unstable = (number(v, ".0%") for v in shares)
    text = (
        f"{count(n, 'SAE')} with {_live(ds.live_latents)}: a live latent is found in another SAE "
        f"(p_hat) with {pairs_in_words(ds.found_share)}, chance "
        f"{number(ds.live_reappearance_chance.mean(), '.2g')}; {stable} are stable, {between} in "
        f"the middle, {unstable} unstable."
    )
    if n < 20:
        text += f" With {count(n, 'SAE')} p_hat takes {count(n, 'value')} only"
        text += "." if n > 4 else ", and intervals are wide." if n > 2 else ", with no interval."
    return text


def _matched(ds: xr.Dataset) -> str:
    if "pairwise_mcc" not in ds:
        return "They are too large to be matched one to one."
    text = (
        f"Matched one to one, live latents have a mean cosine (PW-MCC) of "
        f"{pairs_in_words(ds.pairwise_mcc, COSINE)}, chance {number(ds.pairwise_mcc_chance, '.3f')}"
        f", a median of {pairs_in_words(ds.matched_median, COSINE)}, chance "
        f"{number(ds.matched_median_chance, '.3f')}, "
        f"and {pairs_in_words(ds.matched_share)} of them reach .9; nearest ones (MMCS) "
        f"{pairs_in_words(ds.mmcs, COSINE)}, chance {number(ds.mmcs_chance.mean(), '.3f')}."
    )
    if "shared_share" in ds:
        text += f" By decoder and encoder {pairs_in_words(ds.shared_share)} are shared."
    if same := _copies(ds):
        text += f" The same latents, numbered differently: {_groups(same)} (all count)."
    return text


def _copies(ds: xr.Dataset) -> list[list[str]]:
    """Groups of SAEs that have the same live latents, up to rounding and order."""
    live = ds.live_latents.values
    edges = (ds.pairwise_mcc.values >= COPIED) & (live[:, None] == live)
    _, label = connected_components(edges, directed=False)
    names = ds.seed_a.values
    groups = [[str(s) for s in names[label == g]] for g in np.unique(label)]
    return [group for group in groups if len(group) > 1]


def _groups(groups: list[list[str]]) -> str:
    return "; ".join(", ".join(group) for group in groups)


def _spans(ds: xr.Dataset) -> str:
    at = ds.isel(r=abs(ds.transfer_chance.fillna(0) - 0.25).argmin("r")).mean("seed")
    if not np.isfinite(at.transfer):
        return "No two SAEs have unstable latents."
    text = (
        f"A quarter of the dimensions, the top ones of one SAE's unstable latents, hold "
        f"{number(at.transfer)} of the energy of the others' "
        f"(random {number(at.transfer_chance)}, as many live latents {number(at.transfer_live)}"
    )
    if at.transfer_stable.notnull():
        rows = count(float(at.rank_rows), "stable one")
        text += f", {rows} {number(at.transfer_stable)}"
    more = interval(interval_over_seeds(excess(ds)), within=COSINE)
    text += f"; over the live ones {more})."
    stable, unstable = (number((ds[f"{k}_rank"] / ds.iid_rank).mean()) for k in CLASSES)
    if float(at.rank_rows) >= FEW:
        text += (
            f" At equal rows the stable ones fill {stable} of the dimensions (effective rank) "
            f"that random ones do, the unstable ones {unstable}."
        )
    return text


def _clusters(ds: xr.Dataset) -> str:
    n = int(ds.clusters.fillna(0))
    if not n:
        return "No group of latents that do not always come back shares a subspace beyond chance."
    first = ds.isel(cluster=0)
    return (
        f"{count(n, 'group')} of latents that do not always come back "
        f"share{'s' * (n == 1)} a subspace beyond chance; the largest has "
        f"{number(first.cluster_share, '.0%')} of them in "
        f"{count(first.cluster_rank, 'dimension')}, where the coverage law implies rank "
        f"{number(first.cluster_implied_rank, '.1f')} (p_hat {number(first.cluster_reappearance)}, "
        f"{count(first.cluster_latents, 'latent')} an SAE)."
    )


def _live(values: xr.DataArray) -> str:
    """Range of the number of live latents of an SAE."""
    text = extremes(values, ".0f")
    return f"{text} live latent" + "s" * (text != "1")
