"""Open an array of activations on disk: [rows, D] in a .npy, .safetensors or .zarr file.

.npy and .safetensors are memory-mapped. Zarr is compressed in chunks, where reading random rows is
slow: `Folder.copy` makes a memory-mapped copy. A file that contradicts its header is refused.
"""

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthsae.checks import ConfigError

CHUNK = 2**14
"""Number of rows read at a time in a pass over all rows."""
KINDS = (".npy", ".safetensors", ".zarr")
FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.uint16}
"""Types of safetensors that are read; NumPy has no bfloat16, so uint16 holds its bits."""
_PICKLE = "no pickle: safetensors.torch.save_file({'acts': tensor}, 'acts.safetensors') makes"
OTHERS = dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pkl"), _PICKLE) | {
    ".npz": "no archive: np.save('acts.npy', np.load(FILE)[NAME]) makes",
    ".zip": "no archive: unzip makes",
}
"""Kinds of files that are not read, and how to make a file that is read."""


def shape(arrays: str) -> tuple[int, int]:
    """Number of rows and D, from the header. Raises ConfigError as `mapped` does."""
    rows, d_model = mapped(arrays).shape
    return int(rows), int(d_model)


def mapped(arrays: str) -> NDArray:
    """The array [rows, D], memory-mapped; for .zarr an array of zarr, whose values stay on disk.

    Raises:
        ConfigError: the file cannot be read, or does not hold two or more rows of floats.
    """
    path, tensor = located(arrays)
    try:
        kind = _kind(path)
        with warnings.catch_warnings(action="ignore"):  # readers warn about old headers
            array = {".npy": _npy, ".safetensors": _safetensors, ".zarr": _zarr}[kind](path, tensor)
    except ConfigError:
        raise
    except Exception as error:  # whatever a reader raises on a damaged file
        raise _unreadable(arrays, error) from error
    if not (np.issubdtype(array.dtype, np.floating) or kind == ".safetensors"):
        raise ConfigError("source.arrays", arrays, f"floats, not {array.dtype}")
    if array.ndim != 2 or min(array.shape) == 0:
        raise ConfigError("source.arrays", arrays, f"two dimensions [rows, D], not {array.shape}")
    if array.shape[0] < 2:
        raise ConfigError("source.arrays", arrays, f"two rows or more, not {array.shape[0]}")
    return array


def located(arrays: str) -> tuple[Path, str]:
    """The path, and the name of the tensor in FILE.safetensors:NAME ("" for other files)."""
    named = re.fullmatch(r"(.+?\.safetensors):(.*)", arrays, re.IGNORECASE | re.DOTALL)
    try:
        whole = Path(arrays).expanduser()
        if named and not whole.exists():
            return Path(named[1]).expanduser(), named[2]
    except (RuntimeError, ValueError, OSError) as error:  # no home; no such name; not allowed
        raise ConfigError("source.arrays", arrays, f"a path ({error})") from error
    return whole, ""


def _kind(path: Path) -> str:
    """The kind of a file, one of `KINDS`. A folder of zarr may have any name."""
    is_zarr = any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))
    kind = ".zarr" if is_zarr else path.suffix.lower()
    if kind not in KINDS or not (path.is_dir() if kind == ".zarr" else path.is_file()):
        advice = f"{OTHERS[kind]} " if kind in OTHERS else ""
        allowed = f"{advice}a {', '.join(KINDS)} file that exists"
        raise ConfigError("source.arrays", str(path), allowed)
    return kind


def pieces(array: Any, arrays: str) -> Iterator[NDArray]:
    """The rows of a zarr array in order, in pieces of whole chunks.

    Raises ConfigError for a damaged chunk, and for a missing one, which zarr would read as zeros.
    """
    if missing := array.nchunks - array.nchunks_initialized:
        hint = "if they hold zeros, write them with zarr's array.write_empty_chunks"
        allowed = f"all of its {array.nchunks} chunks; {missing} are missing ({hint})"
        raise ConfigError("source.arrays", arrays, allowed)
    rows = (array.shards or array.chunks)[0]
    step = rows * max(1, CHUNK // rows)
    for i in range(0, array.shape[0], step):
        try:
            yield array[i : i + step]
        except Exception as error:  # whatever a codec raises on a damaged chunk
            raise _unreadable(arrays, error) from error


def _unreadable(arrays: str, error: Exception) -> ConfigError:
    why = str(error).strip().split("\n")[0] or type(error).__name__
    return ConfigError("source.arrays", arrays, f"a whole file with an array of floats ({why})")


def _npy(path: Path, tensor: str) -> NDArray:
    array = np.lib.format.open_memmap(path, mode="r")
    if beyond := path.stat().st_size - array.offset - array.nbytes:
        raise ValueError(f"the file has {beyond} bytes behind the array {array.shape}")
    return array


def _safetensors(path: Path, tensor: str) -> NDArray:
    """One tensor of the file, memory-mapped: safetensors itself reads slices, not random rows."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as checked:  # sizes and offsets agree
        names = sorted(checked.keys())
    if not tensor and len(names) == 1:
        tensor = names[0]
    if tensor not in names:
        known = ", ".join(f"{path}:{n}" for n in names) or "a file that holds tensors"
        raise ConfigError("source.arrays", f"{path}:{tensor}".rstrip(":"), known)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(length))[tensor]
    if about["dtype"] not in FLOATS:
        raise ValueError(f"its type is {about['dtype']}")
    start, dims = 8 + length + about["data_offsets"][0], tuple(about["shape"])
    if 0 in dims:  # an empty file cannot be mapped
        return np.empty(dims, FLOATS[about["dtype"]])
    return np.memmap(path, FLOATS[about["dtype"]], "r", start, dims)


def _zarr(path: Path, tensor: str) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ValueError('zarr is needed: pip install "synthsae[real]"') from error
    found = zarr.open(path, mode="r")
    if isinstance(found, zarr.Group):
        inside = ", ".join(str(path / name) for name in sorted(found.array_keys()))
        raise ConfigError("source.arrays", str(path), inside or "a zarr array, not an empty group")
    return found
