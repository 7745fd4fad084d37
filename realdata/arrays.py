"""Activations at hand: one array [rows, D] in a .npy, .safetensors or .zarr file.

The first two are memory-mapped. Zarr is compressed in chunks, so that rows at random would be slow:
`Folder.copy` makes a mapped one of it. A file that does not hold what its header says is refused.
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
"""Rows read at a time where all are read."""
KINDS = (".npy", ".safetensors", ".zarr")
FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.uint16}
"""Safetensors' names of what is read; uint16 holds the bits of bfloat16."""
_PICKLE = "no pickle; safetensors.torch.save_file({'acts': tensor}, 'acts.safetensors') makes"
OTHERS = dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pkl"), _PICKLE) | {
    ".npz": "no archive; np.save('acts.npy', np.load(FILE)[NAME]) makes",
    ".zip": "no archive; unzip makes",
}
"""What is not read, and what makes a file of it that is."""


def shape(arrays: str) -> tuple[int, int]:
    """Rows and D, from the header. Raises ConfigError as `mapped`."""
    rows, d_model = mapped(arrays).shape
    return int(rows), int(d_model)


def mapped(arrays: str) -> NDArray:
    """The array [rows, D] without its values, which stay on disk; a zarr array for a .zarr.

    Raises ConfigError for anything but rows of floats.
    """
    path, tensor = located(arrays)
    try:
        kind = _kind(path)
        with warnings.catch_warnings(action="ignore"):  # the readers' own, on headers of old kinds
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
        raise ConfigError("source.arrays", arrays, "two rows or more")
    return array


def located(arrays: str) -> tuple[Path, str]:
    """The file, and the tensor in it that FILE.safetensors:NAME names."""
    named = re.fullmatch(r"(.+?\.safetensors):(.*)", arrays, re.IGNORECASE | re.DOTALL)
    try:
        whole = Path(arrays).expanduser()
        if named and not whole.exists():
            return Path(named[1]).expanduser(), named[2]
    except (RuntimeError, ValueError, OSError) as error:  # no home; no such name; not allowed
        raise ConfigError("source.arrays", arrays, f"a path ({error})") from error
    return whole, ""


def _kind(path: Path) -> str:
    """Which of `KINDS` is there. A zarr array or group, or one in a group, may have any name."""
    is_zarr = any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))
    kind = ".zarr" if is_zarr else path.suffix.lower()
    if kind not in KINDS or not (path.is_dir() if kind == ".zarr" else path.is_file()):
        advice = f"{OTHERS[kind]} " if kind in OTHERS else ""
        allowed = f"{advice}a {', '.join(KINDS)} file that exists"
        raise ConfigError("source.arrays", str(path), allowed)
    return kind


def pieces(array: Any, arrays: str) -> Iterator[NDArray]:
    """The rows of a zarr array in order, whole chunks at a time, each read once.

    Raises ConfigError for a chunk that is damaged or missing, which zarr reads as its fill value.
    """
    if missing := array.nchunks - array.nchunks_initialized:
        keep = "zarr keeps chunks of zeros where its config says array.write_empty_chunks"
        allowed = f"all of its {array.nchunks} chunks; {missing} are missing ({keep})"
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
    return ConfigError("source.arrays", arrays, f"an array of floats ({why})")


def _npy(path: Path, tensor: str) -> NDArray:
    array = np.lib.format.open_memmap(path, mode="r")
    if beyond := path.stat().st_size - array.offset - array.nbytes:
        raise ValueError(f"it goes on for {beyond} bytes after the array {array.shape}")
    return array


def _safetensors(path: Path, tensor: str) -> NDArray:
    """One tensor of the file, mapped: safetensors' own reader gives slices, not rows at random."""
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
        raise ValueError(f"it holds {about['dtype']}")
    start, dims = 8 + length + about["data_offsets"][0], tuple(about["shape"])
    if 0 in dims:  # an empty file cannot be mapped
        return np.empty(dims, FLOATS[about["dtype"]])
    return np.memmap(path, FLOATS[about["dtype"]], "r", start, dims)


def _zarr(path: Path, tensor: str) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ValueError('pip install "synthsae[real]"') from error
    found = zarr.open(path, mode="r")
    if isinstance(found, zarr.Group):
        inside = ", ".join(str(path / name) for name in sorted(found.array_keys()))
        raise ConfigError("source.arrays", str(path), inside or "a zarr array, not an empty group")
    return found
