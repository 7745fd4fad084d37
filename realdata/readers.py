"""Read the rows of text files.

The ending of a file's name, in any case, says its kind. Its first bytes say its compression: gzip,
bzip2, xz or Zstandard. A reader yields each row as a mapping from column to value, or as a
`BadRow`. Invalid UTF-8 is decoded with `surrogateescape`, so that only its row is lost.
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

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
OTHER_ENCODINGS = {
    "UTF-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"),
    "UTF-16": (b"\xff\xfe", b"\xfe\xff"),
}
"""Byte order marks of encodings that are refused."""
COLUMNS_SHOWN = 20
"""Largest number of column names in a message."""
AT_ONCE = 256
"""Number of rows of a parquet file in memory."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: the reason, the config field to blame, and what to do."""

    why: str
    field: str = "source.text"
    hint: str = ""


Row = Mapping[str, Any] | BadRow


def kind(name: str) -> str | None:
    """The ending that says how a file of this name is read, a key of `READERS`, or None."""
    lower = name.lower()
    bare = next((lower.removesuffix(end) for end in COMPRESSED if lower.endswith(end)), lower)
    return next((known for known in READERS if bare.endswith(known)), None)


def rows(path: Path, column: str) -> Iterator[Row]:
    """Every row of a file. Raises ConfigError, or the libraries' errors for damaged files."""
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
        return BadRow("broken JSON")
    return found if isinstance(found, dict) else BadRow("no JSON object")


def _json(path: Path, column: str) -> Iterator[Row]:
    """Rows of a JSON file: a list of rows or texts, an object of columns, or JSON Lines."""
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
        yield row if isinstance(row, dict) else BadRow("no JSON object")


def _columns(found: dict[str, Any], column: str) -> list[Any]:
    """The rows of an object that holds columns, holds one list of rows, or is one row."""
    head = _head(found, column)
    if head in found:
        values = found[head]
        if isinstance(values, dict) and head == column:  # pandas writes columns so
            values = list(values.values())
        return [{head: v} for v in values] if isinstance(values, list) else [found]
    lists = [v for v in found.values() if isinstance(v, list)]
    if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
        return lists[0]
    raise _no_column(column, found)


def _csv(path: Path, column: str, delimiter: str = ",") -> Iterator[Row]:
    limit = csv.field_size_limit(sys.maxsize)  # global; the default is 131,072 characters
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
                    yield BadRow("broken CSV")
                else:
                    yield BadRow("more fields than the header") if None in row else row
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
                    yield BadRow("not UTF-8")


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
    """The column of a table with the text: `column`, or its part before the first dot."""
    return column if column in names else column.partition(".")[0]


def _no_column(column: str, names: Any) -> ConfigError:
    return ConfigError("source.column", column, f"a column of the file: {listed(column, names)}")


def listed(column: str, names: Iterable[Any]) -> str:
    """Column names as a message can print them, and the one that `column` may mean."""
    known = [str(name) if str(name).isprintable() else ascii(name) for name in names]
    known = [name[:40] for name in known]
    some = ", ".join(known[:COLUMNS_SHOWN]) + (
        f" and {len(known) - COLUMNS_SHOWN} more" * (len(known) > COLUMNS_SHOWN)
    )
    return some + nearest(column, known)


def _text(path: Path, newline: str | None = None) -> TextIO:
    """Open a text file, compressed or not. Raises ConfigError for UTF-16 and UTF-32."""
    file = io.BufferedReader(_bytes(path))
    start = file.peek(4096)[:4096]
    other = next((name for name, marks in OTHER_ENCODINGS.items() if start.startswith(marks)), None)
    if other is None and start.count(0) * 4 > len(start) > 1:
        other = "UTF-16"  # without a byte order mark: in most texts every other byte is zero
    if other:
        file.close()
        allowed = f"UTF-8 text, not {other} (convert it: iconv -f {other} -t UTF-8 FILE > NEW)"
        raise ConfigError("source.text", str(path), allowed)
    return io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=newline)


def _zstandard(path: Path, mode: str) -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            import zstandard as zstd
    except ImportError:
        allowed = (
            "a file without .zst, as zstandard is missing (pip install zstandard, or zstd -d FILE)"
        )
        raise ConfigError("source.text", str(path), allowed) from None
    return zstd.open(path, mode)


MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
"""First bytes of compressed files, and the functions that open them."""


def _bytes(path: Path) -> Any:
    with open(path, "rb") as file:
        start = file.read(8)
    how = next((how for magic, how in MAGIC.items() if start.startswith(magic)), open)
    return how(path, "rb")
