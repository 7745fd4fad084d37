"""Attributes that describe a study's Dataset and its coordinates."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import xarray as xr

from synthsae.config import describe
from synthsae.deprecated import current_name
from synthsae.study import Grid

COORDINATES = {
    "seed": "seed of an SAE",
    "seed_a": "seed of the first SAE of a pair",
    "seed_b": "seed of the second SAE of a pair",
    "block": "planted block",
    "angle": "principal angle, the smallest first",
    "cluster": "group of latents that share a subspace, the largest first",
    "found_in": "other seeds in which a latent is found",
    "cosine": "middle of a bin of cosines",
    "label": "class of a latent by its p_hat",
    "masked": "latents zeroed",
    "features": "what the label of a latent is predicted from",
    "matrix": "matrix of matched latents that is compared with the planted covariance",
    "r": "dimensions of a subspace",
    "budget": "latents that may fire in a sample",
    "n_used": "seeds that a list is made from",
    "level": "share of a list that is right, by its own account",
    "recipe": "way to spend the training of several seeds",
    "pool_size": "seeds whose training is spent",
    "union_size": "seeds in a union of dictionaries",
    "cell_hash": "hash of the cell's config, the name of its file",
    "training": "name of the training in the folder `trainings`, shared by cells",
}
"""Meaning of the coordinates that our scores use. Other scores can describe their own."""


def describe_coordinates(dataset: xr.Dataset, grid: Grid) -> None:
    """Give each coordinate a `long_name`, and numeric coordinates `units`.

    The `long_name` of an axis is the help text of its config field.
    """
    helps = {name: text for name, _, text in describe(grid.cells[0].config)}
    axes = {dim: f"{field}: {helps[current_name(field)]}" for dim, field in grid.fields.items()}
    for name, coordinate in dataset.coords.items():
        if text := (COORDINATES | axes).get(str(name)):
            coordinate.attrs.setdefault("long_name", text)
        if coordinate.dtype.kind in "iuf":
            coordinate.attrs.setdefault("units", "1")


def about(grid: Grid) -> dict[str, Any]:
    """Attributes of the Dataset that follow from the configs of `grid`.

    Returns:
        `definitions`, `samples_trained` and `samples_evaluated` (both per seed), and `quick`, as
        JSON. A value that differs between cells is a list of its distinct values.
    """
    configs = [cell.config for cell in grid.cells]
    defined = [asdict(config.definitions) for config in configs]
    return {
        "definitions": json.dumps({n: _values(d[n] for d in defined) for n in defined[0]}),
        "samples_trained": json.dumps(_values(c.train.n_samples for c in configs)),
        "samples_evaluated": json.dumps(_values(c.eval_samples for c in configs)),
        "quick": json.dumps(grid.quick),
    }


def _values(values: Iterable[Any]) -> Any:
    """The value, if all are equal; otherwise the list of distinct values."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else distinct
