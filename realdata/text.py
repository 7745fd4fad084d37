"""Documents of text, one after another, from a file or from a Hugging Face dataset.

A `.txt` file has a document between blank lines; `.jsonl`, `.jsonl.gz` and `.parquet` files have
one a row, in a column. A dataset is streamed.
"""

import gzip
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from realdata.config import SourceConfig
from synthsae.checks import ConfigError

FILES = (".txt", ".jsonl", ".jsonl.gz", ".parquet")


def local(source: SourceConfig) -> Path | None:
    """The file or folder that `text` is, or None for a dataset on the hub.

    Raises ConfigError for a file that is not there.
    """
    path = Path(source.text).expanduser()
    if path.is_dir() or (path.is_file() and source.text.endswith(FILES)):
        return path
    if path.is_file() or source.text.endswith(FILES):
        known = f"a {', '.join(FILES)} file that exists, or a dataset"
        raise ConfigError("source.text", source.text, known)
    return None


def documents(source: SourceConfig, revision: str = "") -> Iterator[str]:
    """Every document that is not blank. Raises ConfigError for what cannot be read as text."""
    path = local(source)
    if path is None or path.is_dir():
        rows = _dataset(source, revision)
    elif source.text.endswith(".txt"):
        rows = ({source.column: text} for text in _paragraphs(path))
    elif source.text.endswith(".parquet"):
        rows = _parquet(path, source.column)
    else:
        rows = _jsonl(path)
    try:
        for i, row in enumerate(rows):
            if not isinstance(text := row.get(source.column), str):
                raise ConfigError("source.column", source.column, f"text in row {i}: {list(row)}")
            if text.strip():
                yield text
    except (ValueError, OSError, EOFError) as error:  # damaged, or of another kind than its name
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("source.text", source.text, f"text that can be read ({error})") from error


def _paragraphs(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8") as lines:
        for blank, group in groupby(lines, key=lambda line: not line.strip()):
            if not blank:
                yield "".join(group)


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                yield row if isinstance(row, dict) else {}


def _parquet(path: Path, column: str) -> Iterator[dict[str, Any]]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        if column not in file.schema_arrow.names:
            raise ConfigError("source.column", column, ", ".join(file.schema_arrow.names))
        for part in file.iter_batches(columns=[column]):
            yield from part.to_pylist()


def _dataset(source: SourceConfig, revision: str) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    try:
        yield from load_dataset(
            str(Path(source.text).expanduser()) if local(source) else source.text,
            source.subset or None,
            split=source.split,
            streaming=True,
            revision=revision or None,
        )
    except Exception as error:  # whatever a hub, a file system and a parser raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            "source.text", source.text, f"a dataset that can be read ({why})"
        ) from error
