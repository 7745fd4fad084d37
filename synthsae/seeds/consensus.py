"""What to report instead of one SAE: the latents and the subspaces that its seeds agree on."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from synthsae import checks
from synthsae.arrays import Array, Mask
from synthsae.checks import ConfigError, Shown, between
from synthsae.checks import plain as plain_array
from synthsae.definitions import DEFAULTS
from synthsae.geometry import live_latents
from synthsae.metrics import consensus as plain
from synthsae.metrics import function
from synthsae.metrics.axis_test import axis_test
from synthsae.metrics.consensus import Consensus
from synthsae.metrics.copies import copies
from synthsae.metrics.opposites import opposite_found
from synthsae.metrics.verdicts import verdicts
from synthsae.seeds.consensus_file import BASIS, load_consensus, padded, save_consensus
from synthsae.seeds.verdicts import (
    at_identities,
    candidate_variables,
    latent_variables,
)
from synthsae.stats import Interval, mean_interval, pairwise_interval

SAME = DEFAULTS.same
"""Least cosine of two near-copies, latents of one SAE."""
CLAIMS = (
    "identity_claimed: a feature, unless features lie on arcs; other identities: a reproducible "
    "direction and no more; subspaces: the seeds share them; that they lie in one planted subspace "
    "is claimed for separate blocks of similar variances only; SAEs have independent "
    "initialisation and data"
)
"""What the lists claim, an attribute of each Dataset."""
__all__ = ["consensus", "load_consensus", "save_consensus"]


def consensus(
    directions: ArrayLike,
    live: ArrayLike | None = None,
    *,
    rates: ArrayLike | None = None,
    energy: ArrayLike | None = None,
    activations: ArrayLike | None = None,
    level: float = 0.95,
    seeds: Iterable[Any] | None = None,
) -> xr.Dataset:
    """The latents and the subspaces that S SAEs agree on, as two lists with an error rate.

    An *identity* is a direction that the seeds share more closely than freely turned codes would.
    `identity_claimed` says whether it is claimed as a feature. A one-sided identity is.
    `identity_two_sided` marks a direction whose opposite half of the seeds or more have learned as
    well: an axis of a symmetric code, which may be a true axis, or a principal axis along which
    nothing is planted. It is claimed only if `activations` show that the code along it is sparse:
    its kurtosis is surely above 3, that of Gaussian codes (`metrics.axis_test`). A *subspace* is
    shared by the seeds. That it lies in one planted subspace is claimed for separate blocks of
    similar variances only; its rank is a lower bound where variances differ much. Not claimed:
    identities where features lie on arcs (a quarter were wrong), subspaces of blocks that overlap
    (most were wrong; `metrics/README.md` has the counts).

    An SAE may have several *near-copies* of one feature, latents whose cosine with the most central
    of them is `Definitions.same` or more. They are one entry: `identity_latent` is the central one,
    `latent_copy_of` leads from the others to it. `latent_verdict` says of each latent why it is, or
    is not, on a list (`metrics.verdicts.Verdict`), and `candidate_*` holds what was rejected.

    Measured on trained SAEs of several kinds of world (`benchmarks/consensus_calibration.py`); the
    table is in the page of the study `consensus`. The error rates suppose independent
    initialisation and data.

    Args:
        directions: decoder rows [S, M, D], NumPy or torch, of SAEs with independent initialisation
            and data. A row of zeros is not a latent.
        live: live latents, bool [S, M]; None: all.
        rates: firing rates [S, M] (`Evaluation.rates`).
        energy: mean squared norm of each latent's contribution, [S, M] (`latent_energy` of
            `synthsae.evaluation`).
        activations: activations [N, D] that no SAE was trained on, for the test of two-sided
            identities; 10,000 or more are useful. None: they are not claimed.
        level: share of each list that is right, at least and on average over trainings; level of
            the intervals.
        seeds: names of the SAEs, [S]: distinct numbers or texts; None: 0, 1, ...

    Returns:
        A Dataset with the dimensions `identity` and `subspace`, one entry per list item, the surest
        first; with `seed` and `latent`; and with `candidate`, for what is on no list. The table in
        `seeds.consensus_file` names the variables. Intervals are jackknives or t intervals over
        seeds at the same level, NaN for two seeds. The interval of a rank is
        its range as each seed is left out in turn.

    Raises:
        ConfigError (a ValueError): shapes do not fit; values are not finite or out of range; fewer
            than two seeds or two dimensions; or two SAEs are copies (`metrics.copies`), so the
            second is not an independent training.
    """
    level = between("level", level, 0, 1, strict=True)
    d, alive = live_latents(directions, live)
    if d.shape[2] < 2:
        raise ConfigError("directions", Shown(f"shape {d.shape}"), "rows of 2 dimensions or more")
    names = _names(seeds, len(d))
    rate = None if rates is None else _rates(rates, d.shape[:2])
    shares = None if energy is None else _shares(energy, alive)
    for group in copies(np.where(alive[..., None], d, 0)):
        if len(group) > 1:
            allowed = "one of SAEs that are copies, scaled or rounded: they were not retrained"
            raise ConfigError("directions", [names.tolist()[i] for i in group], allowed)
    found = plain.consensus_of_unit(d, alive, same=SAME)
    each = verdicts(alive, found, 1 - level, SAME)
    ds = xr.merge([_identities(d, alive, found, level), _subspaces(d, found, level)])
    n = ds.sizes["identity"]
    ds["identity_copies"] = (
        ("identity", "seed"),
        at_identities(each.copy_of >= 0, each, n).astype(np.intp),
        {"long_name": "near-copies of its latent in the SAE"},
    )
    ds = ds.merge(latent_variables(each, n)).merge(candidate_variables(found, each, 1 - level))
    if rate is not None:
        ds["identity_rate"] = (
            ("identity", "seed"),
            _at_identities(rate, ds),
            {"long_name": "firing rate"},
        )
    if shares is not None:
        inside = ds.subspace_member.values
        carried = {
            "identity": at_identities(shares, each, n),
            "subspace": np.where(inside, shares, 0.0).sum(axis=2),
        }
        for name, share in carried.items():
            text = "share of the energy of all live latents"
            ends = (np.clip(v, 0, 1) for v in mean_interval(share, level))
            _add(ds, f"{name}_energy", name, Interval(*ends), text)
    ds["identity_claimed"] = ~ds.identity_two_sided
    if activations is not None:
        ds = _tested(ds, activations, level)
    ds.identity_claimed.attrs["long_name"] = "claimed as a feature: one-sided, or a sparse axis"
    return ds.assign_coords(seed=names).assign_attrs(level=level, same=SAME, claims=CLAIMS)


def _identities(d: Array, alive: Mask, found: Consensus, level: float) -> xr.Dataset:
    """The list of identifiable latents."""
    same, keep = found.identities, found.identity_q <= 1 - level
    latents = same.latents[keep]
    cosine = [_agreement(d, row, level) for row in latents]
    opposite = opposite_found(same.direction[keep], d, alive)
    ds = xr.Dataset(
        {
            "identity_direction": (("identity", "dim"), same.direction[keep]),
            "identity_latent": (("identity", "seed"), latents),
            "identity_found": ("identity", (latents >= 0).sum(axis=1)),
            "identity_q": ("identity", found.identity_q[keep]),
            "identity_opposite": (
                "identity",
                opposite,
                {"long_name": "share of the seeds that have learned the opposite direction"},
            ),
            "identity_two_sided": (
                "identity",
                opposite >= 0.5,
                {"long_name": "half of the seeds or more have learned the opposite too"},
            ),
        }
    )
    text = "mean cosine of two seeds' latents"
    return _add(ds, "identity_cosine", "identity", Interval(*np.reshape(cosine, (-1, 3)).T), text)


def _tested(ds: xr.Dataset, activations: ArrayLike, level: float) -> xr.Dataset:
    """`ds` with the kurtosis along each identity; what is surely a sparse axis is claimed.

    Surely: with the error rate 1 - level shared by all two-sided identities (Bonferroni).
    """
    bases = [u[:r] for u, r in zip(ds[BASIS].values, ds.subspace_rank.values, strict=True)]
    x = checks.array("activations", activations, "[N, D]")
    n, width = ds.identity_direction.shape
    checks.same_shape("activations' D", x.shape[1:], "directions", (width,))
    directions = np.concatenate([ds.identity_direction.values, *bases])
    ends = Interval(*(v[:n] for v in axis_test(x, directions, level)[:3]))
    ds = _add(ds, "identity_kappa", "identity", ends, "kurtosis along it; 3: a Gaussian code")
    each = 1 - (1 - level) / max(1, int(ds.identity_two_sided.sum()))
    sparse = axis_test(x, directions, each).low[:n] > 3
    return ds.assign(identity_claimed=ds.identity_claimed | sparse)


def _subspaces(d: Array, found: Consensus, level: float) -> xr.Dataset:
    """The list of reproducible subspaces."""
    kept = [x for x, q in zip(found.subspaces, found.subspace_q, strict=True) if q <= 1 - level]

    def each(name: str, kind: type) -> tuple[str, Array]:
        return "subspace", np.array([getattr(x, name) for x in kept], dtype=kind)

    member = np.array([x.members for x in kept], dtype=bool).reshape(len(kept), *d.shape[:2])
    return xr.Dataset(
        {
            BASIS: (("subspace", "axis", "dim"), padded([x.span.T for x in kept], d.shape[2])),
            "subspace_member": (("subspace", "seed", "latent"), member),
            "subspace_latents": (("subspace", "seed"), member.sum(axis=2)),
            "subspace_rank": each("rank", int),
            "subspace_rank_low": each("rank_low", int),
            "subspace_rank_high": each("rank_high", int),
            "subspace_found": each("found", int),
            "subspace_angle": each("angle", float),
            "subspace_q": ("subspace", found.subspace_q[: len(kept)]),
        }
    )


def _agreement(d: Array, row: Array, level: float) -> tuple[float, float, float]:
    """Mean cosine between the latents of one identity, and its interval, clipped to [-1, 1]."""
    (at,) = np.nonzero(row >= 0)
    x = d[at, row[at]]
    mean, low, high = (float(np.clip(v, -1, 1)) for v in pairwise_interval(x @ x.T, level))
    return mean, low, high


def _add(ds: xr.Dataset, name: str, dim: str, values: Interval, text: str) -> xr.Dataset:
    """`ds` with an estimate and the ends of its interval."""
    for end, value in zip(("", "_low", "_high"), values, strict=True):
        ds[name + end] = dim, value, {"long_name": text}
    return ds


def _names(seeds: Iterable[Any] | None, n: int) -> NDArray[Any]:
    """Names of n SAEs, [n]: distinct numbers or texts, with their types unchanged."""
    if seeds is None:
        return np.arange(n)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ConfigError("seeds", seeds, f"{n} names")
    array = hasattr(seeds, "dtype")
    each = list(plain_array("seeds", seeds)) if array else list(seeds)
    given = [x.tolist() if hasattr(x, "tolist") else x for x in each]
    if not all(isinstance(x, int | str) or (isinstance(x, float) and isfinite(x)) for x in given):
        raise ConfigError("seeds", given, "numbers or texts")
    if len(given) != n or len(set(given)) < n:
        raise ConfigError("seeds", given, f"{n} names that differ")
    names = np.array(
        [x if isinstance(x, np.generic) else g for x, g in zip(each, given, strict=True)]
    )
    kept = [*map(type, names.tolist()), *names.tolist()] == [*map(type, given), *given]
    if not kept:  # for example names of several types
        return np.array(given, dtype=object)
    return names.astype(np.float64) if names.dtype == np.float16 else names  # pandas has no float16


def _rates(rates: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Firing rates, [S, M]."""
    x = checks.array("rates", rates, "[...]")
    checks.same_shape("rates", x.shape, "directions' [S, M]", shape)
    function.live(x)  # 0 to 1
    return x


def _shares(energy: ArrayLike, live: NDArray[np.bool_]) -> Array:
    """Each live latent's share of its seed's energy, [S, M]."""
    x = checks.array("energy", energy, "[...]")
    checks.same_shape("energy", x.shape, "directions' [S, M]", live.shape)
    if (x < 0).any():
        raise ConfigError("energy", float(x.min()), "0 or more")
    x = np.where(live, x, 0.0)
    total = x.sum(axis=1, keepdims=True)
    return np.divide(x, total, out=np.zeros_like(x), where=total > 0)


def _at_identities(x: Array, ds: xr.Dataset) -> Array:
    """Values [S, M] at the identifiable latents, [identity, S]; NaN if a seed lacks one."""
    row = ds.identity_latent.values
    return np.where(row >= 0, x[np.arange(len(x)), row], np.nan)
