"""Join the Datasets of all cells into the Dataset of a study."""

import json
from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from synthsae.config import FORMAT
from synthsae.study.about import about, describe_coordinates
from synthsae.study.grid import Grid


def assemble(grid: Grid, cells: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """One Dataset with the axes of `grid` as dimensions.

    Args:
        grid: the cells and axes.
        cells: hash of a cell -> its Dataset; at least one.

    Returns:
        NaN stands for missing cells, and pads cells along dimensions that are longer in others.
    """
    unindexed = {d for cell in cells.values() for d in cell.dims if d not in cell.coords}
    blank = next(iter(cells.values())).map(_blank)
    parts = [_indexed(cells.get(cell.digest, blank), unindexed) for cell in grid.cells]
    for name, values in reversed(grid.axes.items()):
        text = any(v is None or isinstance(v, str) for v in values)
        labels = [readable(str(v)) for v in values] if text else values
        index = xr.IndexVariable(name, labels)
        parts = [
            xr.concat(
                parts[i : i + len(values)],
                index,
                data_vars="all",
                coords="minimal",
                compat="override",
                join="outer",
                combine_attrs="drop_conflicts",
            )
            for i in range(0, len(parts), len(values))
        ]
    trainings = [cells[c.digest].attrs["training"] if c.digest in cells else "" for c in grid.cells]
    shape, dims = [*map(len, grid.axes.values())], list(grid.axes)
    names = {"cell_hash": [cell.digest for cell in grid.cells], "training": trainings}
    dataset = (
        parts[0]
        .drop_vars(unindexed)
        .assign_coords({name: (dims, np.reshape(values, shape)) for name, values in names.items()})
    )
    frozen, sources = (
        {key: json.loads(cell.attrs.get(name, "{}")) for key, cell in cells.items()}
        for name in ("frozen", "source")
    )
    follow = about(grid)
    # xarray prints the first six attributes and the last six
    dataset.attrs = {"definitions": follow["definitions"]} | {
        key: " and ".join(sorted({cell.attrs[key] for cell in cells.values()}))
        for key in ("git_commit", "scored_at", "versions", "device", "group_size", "precision")
    }
    dataset.attrs |= {
        "hash": grid.digest,
        "format": FORMAT,
        "config": json.dumps({"base": grid.cells[0].config.record(), "axes": grid.axes}),
        "frozen": json.dumps({key: seeds for key, seeds in frozen.items() if seeds}),
        "wall_seconds": sum(
            {
                cell.attrs["training"]: cell.attrs["train_seconds"] for cell in cells.values()
            }.values()
        )
        + sum(cell.attrs["score_seconds"] for cell in cells.values()),
    }
    if described := {key: about_source for key, about_source in sources.items() if about_source}:
        dataset.attrs["source"] = json.dumps(described)
    dataset.attrs |= follow
    for score, variable in dataset.data_vars.items():
        # cells of two thresholds name them both, and xarray drops what differs
        texts = [cell[score].attrs.get("long_name", "") for cell in cells.values() if score in cell]
        if len(distinct := list(dict.fromkeys(filter(None, texts)))) > 1:
            variable.attrs["long_name"] = " or ".join(distinct)
    describe_coordinates(dataset, grid)
    return dataset


def readable(text: str) -> str:
    """Text that netCDF accepts: bytes of a file name that are not UTF-8 become escapes."""
    return text.encode(errors="backslashreplace").decode()


def _indexed(cell: xr.Dataset, dims: set[Hashable]) -> xr.Dataset:
    """The cell with an index along `dims`: xarray needs one to join unequal sizes."""
    return cell.assign_coords({d: range(cell.sizes[d]) for d in dims if d in cell.dims})


def _blank(values: xr.DataArray) -> xr.DataArray:
    """NaN, or empty text, in the shape of `values`."""
    return xr.full_like(values, "") if values.dtype.kind in "UO" else values * np.nan
