"""Rows of a local folder, and of a dataset on the hub."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realdata import readers
from synthsae.checks import ConfigError, one_of
from synthsae.config.sources import SourceConfig

BESIDE = re.compile(r"(readme|license|dataset_infos?\.json|requirements\.txt)", re.IGNORECASE)
"""Files that belong to a dataset and hold none of its rows."""


def rows(folder: Path, source: SourceConfig, unread: list[str]) -> Iterator[readers.Row]:
    """The rows of a split: of what `datasets` saved to disk, or of the files, in order.

    The names of files that are of another kind than most are added to `unread`.
    """
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        yield from _saved(folder, source)
        return
    every = [p for p in folder.rglob("*") if p.is_file() and not BESIDE.match(p.name)]
    every = [p for p in every if not any(x.startswith(".") for x in p.relative_to(folder).parts)]
    kinds = Counter(kind for p in every if (kind := readers.kind(p.name)))
    if not kinds:
        yield from dataset(source, "")
        return
    (most, _), *_ = kinds.most_common()
    unread += sorted(str(p.relative_to(folder)) for p in every if readers.kind(p.name) != most)
    for path in _split(folder, source):
        if readers.kind(path.name) == most and not BESIDE.match(path.name):
            yield from readers.rows(path, source.column)


def _split(folder: Path, source: SourceConfig) -> list[Path]:
    """The files of the split, which their names tell, or the card where it has configurations."""
    from datasets import load_dataset_builder
    from datasets.data_files import DataFilesDict, get_data_patterns

    card = folder / "README.md"
    if source.subset or (card.is_file() and "configs:" in card.read_text(errors="replace")):
        found = load_dataset_builder(str(folder), source.subset or None).config.data_files
    else:
        found = DataFilesDict.from_patterns(get_data_patterns(str(folder)), base_path=str(folder))
    splits = {str(split): files for split, files in found.items()}
    one_of("source.split", source.split, splits)
    return sorted(Path(file) for file in splits[source.split])


def _saved(folder: Path, source: SourceConfig) -> Iterator[readers.Row]:
    from datasets import DatasetDict, load_from_disk

    found: Any = load_from_disk(str(folder))
    if isinstance(found, DatasetDict):
        one_of("source.split", source.split, list(found))
        found = found[source.split]
    names = found.column_names
    head = source.column if source.column in names else source.column.partition(".")[0]
    return iter(found.select_columns([head]) if head in names else found)


def dataset(source: SourceConfig, revision: str) -> Iterator[dict[str, Any]]:
    """The rows of a dataset, streamed. Raises ConfigError where it cannot be read."""
    from datasets import load_dataset

    path = Path(source.text).expanduser()
    try:
        yield from load_dataset(
            str(path) if path.is_dir() else source.text,
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
