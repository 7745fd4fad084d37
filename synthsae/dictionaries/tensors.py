"""Read the named arrays of a file of weights, whatever its name: its first bytes say the format.

| format                          | how it is read                                                 |
|---------------------------------|----------------------------------------------------------------|
| safetensors, and an index of it | lazily; an index names the shard of each tensor                |
| `.npz`, `.npy`                  | `allow_pickle=False`; the array of a `.npy` file has no name   |
| `.pt` and other names of pickle | `pickled.load`: tensors only                                   |
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.dictionaries import pickled
from synthsae.dictionaries.config import load as load_json
from synthsae.dictionaries.layout import UNNAMED

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
        numbers: reads one array in float64.
        metadata: the metadata of a safetensors file; empty for other formats.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    numbers: Callable[[str], Array]
    metadata: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> "Tensors":
        """The arrays of a file. Raises ConfigError where it is damaged or of another format."""
        kind = _format(path)
        with _whole(path, kind):
            return READERS[kind](path)

    def get(self, name: str) -> Array:
        """The numbers of one array in float64; raises ConfigError where they cannot be read."""
        if self.dtypes[name] not in FLOATS:
            raise ConfigError(f"{self.path}: {name}", self.dtypes[name], ALLOWED_TYPES)
        with _whole(self.path, "weights"):
            return self.numbers(name)


@contextmanager
def _whole(path: Path, kind: str) -> Iterator[None]:
    """Turn the errors that readers raise on a damaged file into a ConfigError."""
    errors = (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zlib.error)
    try:
        yield
    except ConfigError:
        raise
    except (SafetensorError, zipfile.BadZipFile, NotImplementedError, *errors) as error:
        why = str(error) or type(error).__name__
        allowed = f"a whole file of {kind} (copy it again)"
        raise ConfigError(str(path), why[:200], allowed) from error


def _format(path: Path) -> str:
    """The format of a file, a key of `READERS`, by its first bytes; by its name where none fits."""
    with _whole(path, "weights"), open(path, "rb") as f:
        head, size = f.read(9), path.stat().st_size
        if head.startswith(b"PK\x03\x04"):
            members = zipfile.ZipFile(f).namelist()
            return "pickle" if any(name.endswith("data.pkl") for name in members) else "npz"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return "safetensors"
    if path.suffix == ".json":
        return "index"
    if head[:1] == b"\x80" or path.suffix in pickled.ENDINGS:
        return "pickle"
    return path.suffix[1:] if path.suffix[1:] in READERS else "safetensors"


def _safetensors(path: Path) -> Tensors:
    def get(name: str) -> Array:
        with safe_open(path, framework="pt") as f:
            return f.get_tensor(name).double().numpy()

    with safe_open(path, framework="pt") as f:
        slices = {name: f.get_slice(name) for name in f.keys()}  # noqa: SIM118
        shapes = {name: tuple(s.get_shape()) for name, s in slices.items()}
        dtypes = {name: str(s.get_dtype()) for name, s in slices.items()}
        return Tensors(path, shapes, dtypes, get, dict(f.metadata() or {}))


def _index(path: Path) -> Tensors:
    """The arrays of all shards that an index names."""
    found = load_json(path).get("weight_map")
    shard_of = found if isinstance(found, dict) else {}
    names = sorted({str(name) for name in shard_of.values()})
    if not names or any(Path(name).name != name for name in names):
        raise ConfigError(
            f"{path}: weight_map", found, "names of tensors -> files beside the index"
        )
    shards = {name: Tensors.open(path.with_name(name)) for name in names}
    shapes = {tensor: shards[shard].shapes[tensor] for tensor, shard in shard_of.items()}
    dtypes = {tensor: shards[shard].dtypes[tensor] for tensor, shard in shard_of.items()}
    return Tensors(path, shapes, dtypes, lambda name: shards[shard_of[name]].get(name), {})


def _pickle(path: Path) -> Tensors:
    found = pickled.load(path)
    shapes = {name: tuple(x.shape) for name, x in found.items()}
    dtypes = {name: pickled.type_of(x) for name, x in found.items()}
    return Tensors(path, shapes, dtypes, lambda name: found[name].double().numpy(), {})


def _npz(path: Path) -> Tensors:
    """The arrays by their headers, which must agree with the sizes in the archive."""
    shapes, dtypes = {}, {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as f:
                shapes[name], dtypes[name] = _header(f, info.filename, info.file_size)

    def get(name: str) -> Array:
        with np.load(path, allow_pickle=False) as f:
            return np.asarray(f[name], dtype=np.float64)

    return Tensors(path, shapes, dtypes, get, {})


def _npy(path: Path) -> Tensors:
    with open(path, "rb") as f:
        shape, dtype = _header(f, path.name, path.stat().st_size)

    def get(name: str) -> Array:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)

    return Tensors(path, {UNNAMED: shape}, {UNNAMED: dtype}, get, {})


def _header(f: Any, name: str, size: int) -> tuple[tuple[int, ...], str]:
    """Shape and type of an array, from the header of an npy file of `size` bytes."""
    form = np.lib.format
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if (version := form.read_magic(f)) not in readers:
        raise ValueError(f"npy version {version} is not supported")
    shape, _, dtype = readers[version](f)
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != size - f.tell():
        raise ValueError(f"the length of {name} differs from its header")
    plain = dtype.kind == "f" and dtype.itemsize <= 8
    return shape, f"F{8 * dtype.itemsize}" if plain else str(dtype)


READERS: dict[str, Callable[[Path], Tensors]] = {
    "safetensors": _safetensors,
    "index": _index,
    "npz": _npz,
    "npy": _npy,
    "pickle": _pickle,
}
"""Format -> its reader."""
