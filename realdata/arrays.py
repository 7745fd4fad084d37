"""Activations at hand: one array [rows, D] in a .npy, .safetensors or .zarr file.

The first two are memory-mapped. Zarr is compressed in chunks, so that rows at random would be slow:
`Folder.copy` makes a mapped one of it.
"""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthsae.checks import ConfigError

KINDS = (".npy", ".safetensors", ".zarr")
FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.uint16}
"""Safetensors' names of what is read; uint16 holds the bits of bfloat16."""


@cache
def shape(arrays: str) -> tuple[int, int]:
    """Rows and D, from the header. Raises ConfigError for anything but rows of floats."""
    array = mapped(arrays)
    if array.ndim != 2 or min(array.shape) == 0:
        raise ConfigError("source.arrays", arrays, f"two dimensions [rows, D], not {array.shape}")
    if array.shape[0] < 2:
        raise ConfigError("source.arrays", arrays, "two rows or more")
    return int(array.shape[0]), int(array.shape[1])


def mapped(arrays: str) -> NDArray:
    """The array without its values, which stay on disk. Raises ConfigError where it is no array."""
    path, tensor = located(arrays)
    if not path.exists() or path.suffix not in KINDS:
        raise ConfigError("source.arrays", arrays, f"a {', '.join(KINDS)} file that exists")
    try:
        array = {".npy": _npy, ".safetensors": _safetensors, ".zarr": _zarr}[path.suffix](
            path, tensor
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        why = str(error).strip().split("\n")[0]
        raise ConfigError("source.arrays", arrays, f"an array of floats ({why})") from error
    if not (np.issubdtype(array.dtype, np.floating) or path.suffix == ".safetensors"):
        raise ConfigError("source.arrays", arrays, f"floats, not {array.dtype}")
    return array


def located(arrays: str) -> tuple[Path, str]:
    """The file, and the tensor in it that FILE.safetensors:NAME names."""
    name, named, tensor = arrays.partition(".safetensors:")
    return Path(name + named.rstrip(":")).expanduser(), tensor


def _npy(path: Path, tensor: str) -> NDArray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _safetensors(path: Path, tensor: str) -> NDArray:
    """One tensor of the file, mapped: safetensors' own reader gives slices, not rows at random."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("its header is damaged")
        header = json.loads(file.read(length))
    names = sorted(n for n in header if n != "__metadata__")
    if not tensor and len(names) == 1:
        tensor = names[0]
    if tensor not in names:
        known = ", ".join(f"{path}:{n}" for n in names)
        raise ConfigError("source.arrays", f"{path}:{tensor}".rstrip(":"), known)
    about = header[tensor]
    if about["dtype"] not in FLOATS:
        raise ValueError(f"it holds {about['dtype']}")
    dims, start = tuple(about["shape"]), 8 + length + about["data_offsets"][0]
    if start + math.prod(dims) * np.dtype(FLOATS[about["dtype"]]).itemsize > path.stat().st_size:
        raise ValueError("it ends before its data")
    return np.memmap(path, FLOATS[about["dtype"]], "r", start, dims)


def _zarr(path: Path, tensor: str) -> NDArray:
    try:
        import zarr
    except ImportError as error:
        raise ValueError('pip install "synthsae[real]"') from error
    return zarr.open_array(path, mode="r")
