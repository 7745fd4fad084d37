"""The named arrays of a file of weights: safetensors, or `.npz` without pickles."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from synthsae.arrays import Array
from synthsae.checks import ConfigError

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types that are read: each number stands for itself. Others need a scale, or are no numbers."""


@dataclass(frozen=True)
class Tensors:
    """What a file holds, without its numbers.

    Attributes:
        path: the file.
        shapes: shape of each array.
        dtypes: type of each array; one of `FLOATS` where it can be read.
        metadata: what a safetensors file says about itself.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> "Tensors":
        """The arrays of a file; raises ConfigError for one that is damaged or of another kind."""
        return (_npz if path.suffix == ".npz" else _safetensors)(path)

    def get(self, name: str) -> Array:
        """The numbers of one array in float64; raises ConfigError where they cannot be read."""
        if self.dtypes[name] not in FLOATS:
            allowed = f"{', '.join(FLOATS)}: dequantise it where it was made"
            raise ConfigError(f"{self.path}: {name}", self.dtypes[name], allowed)
        with _whole(self.path):
            if self.path.suffix == ".npz":
                with np.load(self.path, allow_pickle=False) as f:
                    return np.asarray(f[name], dtype=np.float64)
            with safe_open(self.path, framework="pt") as f:
                return f.get_tensor(name).double().numpy()


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raise ConfigError for what the readers raise on a damaged file."""
    errors = (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zlib.error)
    try:
        yield
    except ConfigError:
        raise
    except (SafetensorError, zipfile.BadZipFile, NotImplementedError, *errors) as error:
        why = str(error) or type(error).__name__
        kind = "npz" if path.suffix == ".npz" else "safetensors"
        raise ConfigError(str(path), why[:200], f"a whole {kind} file") from error


def _safetensors(path: Path) -> Tensors:
    with _whole(path), safe_open(path, framework="pt") as f:
        slices = {name: f.get_slice(name) for name in f.keys()}  # noqa: SIM118
        shapes = {name: tuple(s.get_shape()) for name, s in slices.items()}
        dtypes = {name: str(s.get_dtype()) for name, s in slices.items()}
        return Tensors(path, shapes, dtypes, dict(f.metadata() or {}))


def _npz(path: Path) -> Tensors:
    """From the headers, which have to agree with the sizes in the archive."""
    shapes, dtypes = {}, {}
    with _whole(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as f:
                shape, dtype = _header(f)
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                if size != info.file_size - f.tell():
                    raise ValueError(f"{info.filename} is not as long as its header says")
            name = info.filename.removesuffix(".npy")
            shapes[name] = shape
            plain = dtype.kind == "f" and dtype.itemsize <= 8
            dtypes[name] = f"F{8 * dtype.itemsize}" if plain else str(dtype)
    return Tensors(path, shapes, dtypes, {})


def _header(f: Any) -> tuple[tuple[int, ...], np.dtype]:
    form = np.lib.format
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if (version := form.read_magic(f)) not in readers:
        raise ValueError(f"version {version} of npy")
    shape, _, dtype = readers[version](f)
    return shape, dtype
