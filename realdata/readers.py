"""Rows of text files. The kind of a file follows from its name's ending in any case, its
compression (gzip, bzip2, xz, Zstandard) from its first bytes.

A reader yields a row as a mapping from column to value, or a `Bad` one. Invalid UTF-8 arrives as
the surrogates that Python's `surrogateescape` makes, so that only its row is lost.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from synthsae.checks import ConfigError, nearest

PACKED = (".gz", ".bz2", ".xz", ".zst")
WIDE = {"UTF-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"), "UTF-16": (b"\xff\xfe", b"\xfe\xff")}
"""Byte order marks of the encodings that are refused."""
SHOWN = 20
"""Names of columns in a message."""
AT_ONCE = 256
"""Rows of a parquet file in memory."""


@dataclass(frozen=True)
class Bad:
    """A row that cannot be used: why, which field of the source names the fault, what to do."""

    why: str
    field: str = "source.text"
    hint: str = ""


Row = Mapping[str, Any] | Bad


def kind(name: str) -> str | None:
    """The ending of a file's name that says how it is read, or None."""
    lower = name.lower()
    bare = next((lower.removesuffix(end) for end in PACKED if lower.endswith(end)), lower)
    return next((known for known in READERS if bare.endswith(known)), None)


def rows(path: Path, column: str) -> Iterator[Row]:
    """Every row of a file. Raises ConfigError, or what the libraries raise for damaged files."""
    return READERS[kind(path.name) or ""](path, column)


def _paragraphs(path: Path, column: str) -> Iterator[Row]:
    with _text(path) as lines:
        for blank, group in groupby(lines, key=str.isspace):
            if not blank:
                yield {column: "".join(group)}


def _jsonl(path: Path, column: str) -> Iterator[Row]:
    with _text(path) as lines:
        yield from (_object(line) for line in lines if not line.isspace())


def _object(line: str) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return Bad("broken JSON")
    return found if isinstance(found, dict) else Bad("no JSON object")


def _json(path: Path, column: str) -> Iterator[Row]:
    """A list of rows or of texts, an object of columns, or (under this name too) JSON Lines."""
    with _text(path) as file:
        whole = file.read()
    try:
        found = json.loads(whole)
    except (ValueError, RecursionError):
        if whole.lstrip().startswith("["):
            raise
        yield from (_object(line) for line in whole.split("\n") if line.strip())
        return
    if isinstance(found, dict):
        found = _columns(found, column)
    for row in found if isinstance(found, list) else [found]:
        row = {column: row} if isinstance(row, str) else row
        yield row if isinstance(row, dict) else Bad("no JSON object")


def _columns(found: dict[str, Any], column: str) -> list[Any]:
    """The rows of an object: of columns, with rows under its only list, or one row itself."""
    head = _head(found, column)
    if head in found:
        values = found[head]
        if isinstance(values, dict) and head == column:  # as pandas writes a column
            values = list(values.values())
        return [{head: v} for v in values] if isinstance(values, list) else [found]
    lists = [v for v in found.values() if isinstance(v, list)]
    if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
        return lists[0]
    raise _no_column(column, found)


def _csv(path: Path, column: str, delimiter: str = ",") -> Iterator[Row]:
    limit = csv.field_size_limit(sys.maxsize)  # 131,072 characters otherwise, for everybody
    try:
        with _text(path, newline="") as lines:
            found = csv.DictReader(lines, delimiter=delimiter)
            if found.fieldnames and _head(found.fieldnames, column) not in found.fieldnames:
                raise _no_column(column, found.fieldnames)
            while True:
                try:
                    row: dict[Any, Any] = next(found)
                except StopIteration:
                    return
                except csv.Error:
                    yield Bad("broken CSV")
                else:
                    yield Bad("more fields than the header") if None in row else row
    finally:
        csv.field_size_limit(limit)


def _tsv(path: Path, column: str) -> Iterator[Row]:
    return _csv(path, column, "\t")


def _parquet(path: Path, column: str) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        names = file.schema_arrow.names
        if (head := _head(names, column)) not in names:
            raise _no_column(column, names)
        for part in file.iter_batches(AT_ONCE, columns=[head]):
            for value in part.column(0):
                try:
                    yield {head: value.as_py()}
                except UnicodeDecodeError:
                    yield Bad("not UTF-8")


READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".txt": _paragraphs,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}


def _head(names: Any, column: str) -> str:
    """The column of a table that `column` lies in: itself, or what is before its first dot."""
    return column if column in names else column.partition(".")[0]


def _no_column(column: str, names: Any) -> ConfigError:
    return ConfigError("source.column", column, f"a column that is there: {listed(column, names)}")


def listed(column: str, names: Iterable[Any]) -> str:
    """The columns that are there, and which of them `column` may mean, as they can be printed."""
    known = [str(name) if str(name).isprintable() else ascii(name) for name in names]
    known = [name[:40] for name in known]
    some = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" * (len(known) > SHOWN))
    return some + nearest(column, known)


def _text(path: Path, newline: str | None = None) -> TextIO:
    """A text file opened, compressed or not. Raises ConfigError for UTF-16 and UTF-32."""
    file = io.BufferedReader(_bytes(path))
    start = file.peek(4096)[:4096]
    wide = next((name for name, marks in WIDE.items() if start.startswith(marks)), None)
    if wide is None and start.count(0) * 4 > len(start) > 1:
        wide = "UTF-16"  # without a mark: every other byte of most texts is zero
    if wide:
        file.close()
        allowed = f"UTF-8, not {wide}: text that can be read (iconv -f {wide} -t UTF-8 FILE > NEW)"
        raise ConfigError("source.text", str(path), allowed)
    return io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=newline)


def _zstandard(path: Path, mode: str) -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            import zstandard as zstd
    except ImportError:
        allowed = "zstandard for a .zst file: pip install zstandard, or unpack it: zstd -d FILE"
        raise ConfigError("source.text", str(path), allowed) from None
    return zstd.open(path, mode)


MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
"""How a compressed file begins, and what opens it."""


def _bytes(path: Path) -> Any:
    with open(path, "rb") as file:
        start = file.read(8)
    how = next((how for magic, how in MAGIC.items() if start.startswith(magic)), open)
    return how(path, "rb")
