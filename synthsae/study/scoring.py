"""What scores return, checked and merged; an error names the score."""

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
    """What a score returns of `run`, with the seeds as labels.

    Raises ConfigError for something else than a Dataset that can be saved and is over the seeds of
    `run`.
    """
    found = score(run)
    if not isinstance(found, xr.Dataset):
        raise _refused(score, type(found).__name__, "an xarray Dataset")
    found = _over_seeds(score, found, run)
    _check_names(score, found)
    try:
        pack(found)
    except Exception as error:  # of several kinds, with what cannot be saved
        why = f"what can be saved ({in_a_line(error)})"
        raise _refused(score, ", ".join(map(str, found)), why) from error
    return found


def merged(parts: Sequence[tuple[Score, xr.Dataset]]) -> xr.Dataset:
    """One Dataset of what scores returned. Raises ConfigError for one that does not fit."""
    dataset = xr.Dataset()
    for score, part in parts:
        try:
            dataset = xr.merge([dataset, part], join="exact", compat="no_conflicts")
        except Exception as error:  # of several kinds, with what does not fit
            why = f"what fits the other scores ({in_a_line(error)})"
            raise _refused(score, ", ".join(map(str, part)), why) from error
    return dataset


def _over_seeds(score: Score, found: xr.Dataset, run: Run) -> xr.Dataset:
    """`found` with the seeds as labels of its dimensions of seeds."""
    seeds = list(run.seeds)
    for dim in (str(d) for d in found.dims if str(d).startswith("seed")):
        labels = found[dim].values.tolist() if dim in found.coords else None
        if found.sizes[dim] != len(seeds) or labels not in (None, seeds):
            said = f"{found.sizes[dim]} of them" if labels is None else labels
            raise _refused(score, f"{dim}: {said}", f"the {len(seeds)} of run.seeds, {seeds}")
        found = found.assign_coords({dim: seeds}) if labels is None else found
    return found


def _check_names(score: Score, found: xr.Dataset) -> None:
    """Names and attributes must be such that netCDF takes them."""
    for name in (*found.variables, *found.dims):
        if not isinstance(name, str) or "/" in name:
            raise _refused(score, name, "names that are text without '/'")
    for name, variable in found.variables.items():
        for key, value in variable.attrs.items():
            if not isinstance(value, str | Number | np.ndarray | list | tuple):
                raise _refused(score, f"{name}.{key}: {value!r}", "attributes: numbers and text")


def _refused(score: Score, value: Any, allowed: str) -> ConfigError:
    try:
        code = inspect.unwrap(score).__code__
        at = f" ({code.co_filename}:{code.co_firstlineno})"
    except AttributeError:
        at = ""
    name = getattr(score, "__qualname__", repr(score))
    return ConfigError(f"score {name}{at}", value, allowed)
