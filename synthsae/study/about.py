"""What a study's Dataset says of itself: definitions, samples, `quick`, and each coordinate."""

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
    "features": "what the label of a latent is told from",
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
"""What the coordinates mean that our scores use; a score may describe its own."""


def describe_coordinates(dataset: xr.Dataset, grid: Grid) -> None:
    """Give each coordinate a `long_name`, an axis that of its field's help; numbers have units."""
    helps = {name: text for name, _, text in describe(grid.cells[0].config)}
    axes = {dim: f"{field}: {helps[current_name(field)]}" for dim, field in grid.fields.items()}
    for name, coordinate in dataset.coords.items():
        if text := (COORDINATES | axes).get(str(name)):
            coordinate.attrs.setdefault("long_name", text)
        if coordinate.dtype.kind in "iuf":
            coordinate.attrs.setdefault("units", "1")


def about(grid: Grid) -> dict[str, Any]:
    """The Dataset's attributes that follow from the configs of `grid`.

    `definitions` has the value of each, or its values where it is an axis. The samples that a seed
    was trained on and that it was evaluated on are a number, or numbers in the order of the cells.
    """
    configs = [cell.config for cell in grid.cells]
    defined = [asdict(config.definitions) for config in configs]
    return {
        "definitions": json.dumps({n: _values(d[n] for d in defined) for n in defined[0]}),
        "samples_trained": json.dumps(_values(c.train.n_samples for c in configs)),
        "samples_evaluated": json.dumps(_values(c.eval_samples for c in configs)),
        "quick": json.dumps(grid.quick),
    }


def _values(each: Iterable[Any]) -> Any:
    """The one value that all have, or the list of those that some have."""
    found = list(dict.fromkeys(each))
    return found[0] if len(found) == 1 else found
