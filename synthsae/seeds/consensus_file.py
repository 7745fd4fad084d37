"""The file of a consensus: safetensors, for tools that steer or probe.

| tensor                        | shape     |                                             |
|-------------------------------|-----------|---------------------------------------------|
| `identity_direction`          | [n, D]    | unit directions of the identifiable latents |
| `identity_latent`             | [n, S]    | index of the latent in each seed, -1: none  |
| `subspace_0`, `subspace_1`... | [R_g, D]  | orthonormal basis of each subspace, as rows |
| `subspace_member`             | [G, S, M] | which latents of each seed lie in it        |
| `identity_copies`             | [n, S]    | near-copies of that latent in its seed      |
| `latent_verdict`              | [S, M]    | why a latent is, or is not, on a list       |
| `latent_identity`             | [S, M]    | its identity, also as a near-copy; -1: none |
| `latent_copy_of`              | [S, M]    | the latent it is a near-copy of; -1: none   |
| `latent_q`                    | [S, M]    | q of its candidate; NaN: in none            |
| `candidate_kind`              | [C]       | rejected candidates, 0: identity, 1: space  |
| `candidate_q`, `_rank`        | [C]       | their q-values and dimensions               |
| `candidate_found`             | [C]       | seeds in which all of a candidate is found  |
| `candidate_members`           | [C]       | number of members, one candidate by another |
| `candidate_member_seed`       | [members] | position of the member's seed               |
| `candidate_member_latent`     | [members] | index of the member in that seed            |
| other variables               |           | ranks, q, intervals, rates, energy          |

The header holds names of dimensions, attributes, and names of seeds that are text. The attributes
`flag_values` and `flag_meanings` say what codes mean.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from synthsae import files
from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown

BASIS = "subspace_basis"
NEEDED = {BASIS, "subspace_rank", "identity_direction"}
"""Variables of every Dataset that `consensus` returns."""


def save_consensus(ds: xr.Dataset, path: str | Path) -> None:
    """Write the Dataset of `consensus` to a safetensors file (see the top of this module).

    Raises:
        ConfigError: `ds` is another Dataset, or has variables or attributes that cannot be saved.
    """
    if missing := NEEDED - {str(name) for name in ds.variables}:
        raise ConfigError("ds", sorted(missing), "what consensus returned, with these variables")
    about, arrays = {}, {}
    for name, v in ds.variables.items():
        about[str(name)] = {"dims": v.dims, "attrs": v.attrs}
        if v.dtype.kind in "OU":
            about[str(name)] |= {"values": v.values.tolist(), "dtype": v.dtype.str}
        elif name != BASIS:
            arrays[str(name)] = np.ascontiguousarray(v.values)
    for g, rank in enumerate(ds.subspace_rank.values):
        arrays[f"subspace_{g}"] = np.ascontiguousarray(ds[BASIS].values[g, :rank])
    coords = [str(n) for n in ds.coords]
    try:
        text = json.dumps(
            {"variables": about, "attrs": ds.attrs, "coords": coords}, default=_python
        )
        data = save(arrays, {"synthsae_consensus": text})
    except (TypeError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError("ds", Shown(error), "numbers and texts that a file can hold") from error
    files.write(Path(path), data)


def load_consensus(path: str | Path) -> xr.Dataset:
    """The Dataset in a file of `save_consensus`.

    Raises:
        ConfigError: any other file, or a damaged one.
    """
    try:
        with safe_open(path, framework="numpy") as f:
            text = (f.metadata() or {}).get("synthsae_consensus")
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ConfigError("path", str(path), "a safetensors file") from error
    if text is None:
        raise ConfigError("path", str(path), "a file that save_consensus wrote")
    try:
        return _dataset(json.loads(text), arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError("path", str(path), f"a whole file of save_consensus ({error})") from error


def _dataset(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> xr.Dataset:
    """The Dataset of a file's header and tensors."""
    bases = [arrays[f"subspace_{g}"] for g in range(len(arrays["subspace_rank"]))]
    arrays[BASIS] = padded(bases, arrays["identity_direction"].shape[1])
    for name, v in about["variables"].items():
        if "values" in v:
            arrays[name] = np.array(v["values"], dtype=v["dtype"])
    made = {n: (v["dims"], arrays[n], v["attrs"]) for n, v in about["variables"].items()}
    ds = xr.Dataset(made, attrs=about["attrs"])
    if missing := NEEDED - made.keys():
        raise KeyError(*sorted(missing))
    return ds.set_coords(about.get("coords", ["seed"]))


def _python(value: Any) -> Any:
    """A NumPy number or array in an attribute as a Python number or list, for JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r}")


def padded(bases: list[Array], width: int) -> Array:
    """Bases [R_g, D] as one array [G, max R, D], padded with zeros."""
    out = np.zeros((len(bases), max((len(b) for b in bases), default=0), width))
    for rows, basis in zip(out, bases, strict=True):
        rows[: len(basis)] = basis
    return out
