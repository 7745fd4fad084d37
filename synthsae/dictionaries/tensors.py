"""Read the named arrays of a file of weights: safetensors, or `.npz` without pickles."""

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
"""Types that are read. Integers are refused: they are often quantised weights without a scale."""
ALLOWED_TYPES = f"{', '.join(FLOATS)} (dequantise the weights before you save them)"


@dataclass(frozen=True)
class Tensors:
    """Names, shapes and types of the arrays in a file; `get` reads the numbers.

    Attributes:
        path: the file.
        shapes: shape of each array.
        dtypes: type of each array; one of `FLOATS` where it can be read.
        metadata: the metadata of a safetensors file; empty for npz.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> "Tensors":
        """The arrays of a file. Raises ConfigError where it is damaged or of another format."""
        return (_npz if path.suffix == ".npz" else _safetensors)(path)

    def get(self, name: str) -> Array:
        """The numbers of one array in float64; raises ConfigError where they cannot be read."""
        if self.dtypes[name] not in FLOATS:
            raise ConfigError(f"{self.path}: {name}", self.dtypes[name], ALLOWED_TYPES)
        with _whole(self.path):
            if self.path.suffix == ".npz":
                with np.load(self.path, allow_pickle=False) as f:
                    return np.asarray(f[name], dtype=np.float64)
            with safe_open(self.path, framework="pt") as f:
                return f.get_tensor(name).double().numpy()


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn the errors that readers raise on a damaged file into a ConfigError."""
    errors = (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zlib.error)
    try:
        yield
    except ConfigError:
        raise
    except (SafetensorError, zipfile.BadZipFile, NotImplementedError, *errors) as error:
        why = str(error) or type(error).__name__
        kind = "npz" if path.suffix == ".npz" else "safetensors"
        raise ConfigError(str(path), why[:200], f"a whole {kind} file (copy it again)") from error


def _safetensors(path: Path) -> Tensors:
    with _whole(path), safe_open(path, framework="pt") as f:
        slices = {name: f.get_slice(name) for name in f.keys()}  # noqa: SIM118
        shapes = {name: tuple(s.get_shape()) for name, s in slices.items()}
        dtypes = {name: str(s.get_dtype()) for name, s in slices.items()}
        return Tensors(path, shapes, dtypes, dict(f.metadata() or {}))


def _npz(path: Path) -> Tensors:
    """The arrays by their headers, which must agree with the sizes in the archive."""
    shapes, dtypes = {}, {}
    with _whole(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as f:
                shape, dtype = _header(f)
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                if size != info.file_size - f.tell():
                    raise ValueError(f"the length of {info.filename} differs from its header")
            name = info.filename.removesuffix(".npy")
            shapes[name] = shape
            plain = dtype.kind == "f" and dtype.itemsize <= 8
            dtypes[name] = f"F{8 * dtype.itemsize}" if plain else str(dtype)
    return Tensors(path, shapes, dtypes, {})


def _header(f: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, from the header of an npy file."""
    form = np.lib.format
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if (version := form.read_magic(f)) not in readers:
        raise ValueError(f"npy version {version} is not supported")
    shape, _, dtype = readers[version](f)
    return shape, dtype
