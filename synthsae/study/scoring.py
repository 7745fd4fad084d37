"""Call scores, check what they return, and merge it. Errors name the score."""

import inspect
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
import xarray as xr

from synthsae.checks import ConfigError
from synthsae.scores.run import Run, Score
from synthsae.study.packing import pack
from synthsae.user_code import in_a_line


def scored(run: Run, score: Score) -> xr.Dataset:
    """The Dataset that `score` returns for `run`, with seeds as labels.

    Raises:
        ConfigError: the score did not return a Dataset, or the Dataset cannot be saved, or its
            seeds are not those of `run`.
    """
    dataset = score(run)
    if not isinstance(dataset, xr.Dataset):
        raise _refused(score, type(dataset).__name__, "an xarray Dataset")
    dataset = _with_seeds(score, dataset, run)
    _check_names(score, dataset)
    try:
        pack(dataset)
    except Exception as error:  # of several types, depending on what cannot be saved
        why = f"what can be saved ({in_a_line(error)})"
        raise _refused(score, ", ".join(map(str, dataset)), why) from error
    return dataset


def merged(parts: Sequence[tuple[Score, xr.Dataset]]) -> xr.Dataset:
    """The Datasets of all scores as one.

    Raises:
        ConfigError: a score's Dataset contradicts those before it.
    """
    dataset = xr.Dataset()
    for score, part in parts:
        try:
            dataset = xr.merge([dataset, part], join="exact", compat="no_conflicts")
        except Exception as error:  # of several types, depending on what does not fit
            why = f"what fits the other scores ({in_a_line(error)})"
            raise _refused(score, ", ".join(map(str, part)), why) from error
    return dataset


def _with_seeds(score: Score, dataset: xr.Dataset, run: Run) -> xr.Dataset:
    """`dataset` with the seeds of `run` as labels of `seed`, `seed_a` and `seed_b`."""
    seeds = list(run.seeds)
    for dim in (str(d) for d in dataset.dims if str(d).startswith("seed")):
        labels = dataset[dim].values.tolist() if dim in dataset.coords else None
        if dataset.sizes[dim] != len(seeds) or labels not in (None, seeds):
            returned = f"{dataset.sizes[dim]} of them" if labels is None else labels
            raise _refused(score, f"{dim}: {returned}", f"the {len(seeds)} of run.seeds, {seeds}")
        dataset = dataset.assign_coords({dim: seeds}) if labels is None else dataset
    return dataset


def _check_names(score: Score, dataset: xr.Dataset) -> None:
    """Raise ConfigError for names and attributes that netCDF cannot hold."""
    for name in (*dataset.variables, *dataset.dims):
        if not isinstance(name, str) or "/" in name:
            raise _refused(score, name, "names that are text without '/'")
    for name, variable in dataset.variables.items():
        for key, value in variable.attrs.items():
            if not isinstance(value, str | Number | np.ndarray | list | tuple):
                raise _refused(score, f"{name}.{key}: {value!r}", "attributes: numbers and text")


def _refused(score: Score, value: Any, allowed: str) -> ConfigError:
    """A ConfigError whose field is the name of the score with its file and line."""
    try:
        code = inspect.unwrap(score).__code__
        at = f" ({code.co_filename}:{code.co_firstlineno})"
    except AttributeError:
        at = ""
    name = getattr(score, "__qualname__", repr(score))
    return ConfigError(f"score {name}{at}", value, allowed)
