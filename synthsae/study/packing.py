"""Turn a small Dataset into bytes and back, exactly, in about a millisecond.

The bytes are a safetensors file: numbers are its tensors; dimensions, attributes and text are JSON
in its header. netCDF takes about 3 ms per variable to write or to read, too long for a study of
many small cells.
"""

import json
from typing import Any

import numpy as np
import xarray as xr
from safetensors.numpy import load, save


def pack(dataset: xr.Dataset) -> bytes:
    """`dataset` as bytes.

    Raises:
        TypeError: a variable is neither numbers nor text.
    """
    layout: dict[str, Any] = {"attrs": _plain(dataset.attrs), "variables": {}}
    numbers = {}
    for name, variable in dataset.variables.items():
        entry = {
            "dims": list(variable.dims),
            "attrs": _plain(variable.attrs),
            "coordinate": name in dataset.coords,
        }
        values = np.asarray(variable.values)
        if values.dtype.kind in "biuf":
            numbers[str(name)] = np.array(values, values.dtype.newbyteorder("="), order="C")
        elif values.dtype.kind in "UO" and all(isinstance(v, str) for v in values.flat):
            entry |= {"text": values.ravel().tolist(), "shape": values.shape}
        else:
            raise TypeError(f"{name}: a cell holds numbers and text, not {values.dtype}")
        layout["variables"][name] = entry
    return save(numbers, {"layout": json.dumps(layout)})


def unpack(data: bytes) -> xr.Dataset:
    """The Dataset that was given to `pack`."""
    numbers = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    layout = json.loads(header["__metadata__"]["layout"])
    parts: dict[bool, dict[str, xr.Variable]] = {True: {}, False: {}}
    for name, entry in layout["variables"].items():
        values = _text(entry) if "text" in entry else numbers[name]
        variable = xr.Variable(entry["dims"], values, entry["attrs"])
        parts[entry["coordinate"]][name] = variable
    return xr.Dataset(parts[False], parts[True], layout["attrs"])


def _text(entry: dict) -> np.ndarray:
    """An array of text. Earlier versions wrote nested lists and no shape."""
    values = np.array(entry["text"], str)
    return values.reshape(entry.get("shape", values.shape))


def _plain(attributes: dict) -> dict:
    """Attributes with NumPy numbers and arrays turned into Python numbers and lists."""
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in attributes.items()}
