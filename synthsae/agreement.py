"""What to report instead of one SAE: the latents and the subspaces that its seeds agree on.

The file that `save_consensus` writes is safetensors, for tools that steer or probe:

| tensor                        | shape     |                                             |
|-------------------------------|-----------|---------------------------------------------|
| `identity_direction`          | [n, D]    | unit directions of the identifiable latents |
| `identity_latent`             | [n, S]    | each one's index in every seed, -1 for none |
| `subspace_0`, `subspace_1`... | [R_g, D]  | orthonormal basis of each subspace, as rows |
| `subspace_member`             | [G, S, M] | which latents of each seed live in it       |
| the Dataset's other variables |           | ranks, q, intervals, rates, energy          |
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from synthsae import files
from synthsae.geometry import Array, unit
from synthsae.metrics import consensus as plain
from synthsae.metrics.consensus import Consensus
from synthsae.stats import Interval, mean_interval, pairwise_interval

BASIS = "subspace_basis"


def consensus(
    directions: ArrayLike,
    live: ArrayLike | None = None,
    *,
    rates: ArrayLike | None = None,
    energy: ArrayLike | None = None,
    level: float = 0.95,
    seeds: Sequence[int] | None = None,
) -> xr.Dataset:
    """The identifiable latents and the reproducible subspaces of S SAEs, each list at `level`.

    Args:
        directions: decoder rows, [S, M, D], of SAEs with starts and data of their own.
        live: live latents, [S, M]; none: all.
        rates: share of samples on which a latent fires, [S, M] (`evaluate.evaluate`).
        energy: mean squared norm of a latent's contribution, [S, M] (`evaluate.latent_energy`).
        level: share of each list that is right, at least and on average over trainings.
        seeds: names of the SAEs, [S].

    Both lists begin with what is surest; the intervals are jackknives or t intervals over seeds at
    the same level, and those of a rank its range as each seed is left out. Raises ValueError for
    shapes that do not fit, values that are not finite and a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level: {level}; allowed: strictly between 0 and 1")
    d = unit(directions)
    found = plain.consensus(d, live)
    shares = None if energy is None else _shares(energy, live, d.shape[:2])
    ds = xr.merge([_identities(d, found, level), _subspaces(d, found, level)])
    if rates is not None:
        ds["identity_rate"] = ("identity", "seed"), _of(rates, ds), {"long_name": "firing rate"}
    if shares is not None:
        inside = ds.subspace_member.values
        carried = {
            "identity": np.nan_to_num(_of(shares, ds)),
            "subspace": np.where(inside, shares, 0.0).sum(axis=2),
        }
        for name, share in carried.items():
            text = "share of the energy of all live latents"
            ends = (np.clip(v, 0, 1) for v in mean_interval(share, level))
            _add(ds, f"{name}_energy", name, Interval(*ends), text)
    names = list(range(len(d)) if seeds is None else seeds)
    return ds.assign_coords(seed=names).assign_attrs(level=level)


def save_consensus(ds: xr.Dataset, path: str | Path) -> None:
    """Write what `consensus` returned to one safetensors file (the module says what is in it)."""
    rest = ds.drop_vars(BASIS).variables
    arrays = {str(n): np.ascontiguousarray(v.values) for n, v in rest.items()}
    for g, rank in enumerate(ds.subspace_rank.values):
        arrays[f"subspace_{g}"] = np.ascontiguousarray(ds[BASIS].values[g, :rank])
    about = {str(n): {"dims": v.dims, "attrs": v.attrs} for n, v in ds.variables.items()}
    meta = {"synthsae_consensus": json.dumps({"variables": about, "attrs": ds.attrs})}
    files.write(Path(path), save(arrays, meta))


def load_consensus(path: str | Path) -> xr.Dataset:
    """Read what `save_consensus` wrote; raises ValueError for any other file."""
    try:
        with safe_open(path, framework="numpy") as f:
            text = (f.metadata() or {}).get("synthsae_consensus")
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"path: {str(path)!r}; allowed: a safetensors file") from error
    if text is None:
        raise ValueError(f"path: {str(path)!r}; allowed: a file that save_consensus wrote")
    about = json.loads(text)
    bases = [arrays[f"subspace_{g}"] for g in range(len(arrays["subspace_rank"]))]
    arrays[BASIS] = _padded(bases, arrays["identity_direction"].shape[1])
    made = {n: (v["dims"], arrays[n], v["attrs"]) for n, v in about["variables"].items()}
    ds = xr.Dataset(made, attrs=about["attrs"])
    return ds.set_coords("seed")


def _identities(d: Array, found: Consensus, level: float) -> xr.Dataset:
    """The first list."""
    same, keep = found.identities, found.identity_q <= 1 - level
    latents = same.latents[keep]
    cosine = [_agreement(d, row, level) for row in latents]
    ds = xr.Dataset(
        {
            "identity_direction": (("identity", "dim"), same.direction[keep]),
            "identity_latent": (("identity", "seed"), latents),
            "identity_found": ("identity", (latents >= 0).sum(axis=1)),
            "identity_q": ("identity", found.identity_q[keep]),
        }
    )
    text = "mean cosine of two seeds' latents"
    return _add(ds, "identity_cosine", "identity", Interval(*np.reshape(cosine, (-1, 3)).T), text)


def _subspaces(d: Array, found: Consensus, level: float) -> xr.Dataset:
    """The second list."""
    kept = [x for x, q in zip(found.subspaces, found.subspace_q, strict=True) if q <= 1 - level]

    def each(name: str, kind: type) -> tuple[str, Array]:
        return "subspace", np.array([getattr(x, name) for x in kept], dtype=kind)

    member = np.array([x.members for x in kept], dtype=bool).reshape(len(kept), *d.shape[:2])
    return xr.Dataset(
        {
            BASIS: (("subspace", "axis", "dim"), _padded([x.span.T for x in kept], d.shape[2])),
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
    """Mean cosine of the members of a row, with its interval over seeds, inside [-1, 1]."""
    (at,) = np.nonzero(row >= 0)
    x = d[at, row[at]]
    mean, low, high = (float(np.clip(v, -1, 1)) for v in pairwise_interval(x @ x.T, level))
    return mean, low, high


def _add(ds: xr.Dataset, name: str, dim: str, values: Interval, text: str) -> xr.Dataset:
    """`ds` with an estimate and the ends of its interval."""
    for end, value in zip(("", "_low", "_high"), values, strict=True):
        ds[name + end] = dim, value, {"long_name": text}
    return ds


def _shares(energy: ArrayLike, live: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """Each live latent's share of its seed's energy, [S, M]."""
    x = np.asarray(energy, dtype=float)
    if x.shape != shape or not (np.isfinite(x) & (x >= 0)).all():
        raise ValueError(f"energy: shape {x.shape}; allowed: {shape}, 0 or more")
    x = x if live is None else np.where(live, x, 0.0)
    total = x.sum(axis=1, keepdims=True)
    return np.divide(x, total, out=np.zeros_like(x), where=total > 0)


def _of(values: ArrayLike, ds: xr.Dataset) -> Array:
    """`values` [S, M] of the identifiable latents, NaN where a seed has none, [identity, S]."""
    row = ds.identity_latent.values
    x = np.asarray(values, dtype=float)
    return np.where(row >= 0, x[np.arange(len(x)), row], np.nan)


def _padded(bases: list[Array], width: int) -> Array:
    """Bases [R_g, D] as one array [G, max R, D], zero beyond each one's rank."""
    out = np.zeros((len(bases), max((len(b) for b in bases), default=0), width))
    for padded, basis in zip(out, bases, strict=True):
        padded[: len(basis)] = basis
    return out
