"""Read documents of text from a file, a folder or a Hugging Face dataset.

Blank lines separate the documents of a `.txt` file. Other files and datasets have one document in
each row, in a column. A row without usable text is left out and counted.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realdata.readers import COMPRESSED, READERS, BadRow, Row, kind, listed, rows
from synthsae.checks import ConfigError, nearest, one_of
from synthsae.config.sources import SourceConfig

BLANK = "blank"
GIVE_UP_AFTER = 100
"""Number of bad rows before the first document after which the rest is not read."""
EXAMPLES = 3
SURROGATE = re.compile("[\ud800-\udfff]")
JOIN = "\n\n"
"""Separator of the strings in a list, such as the messages of a chat."""
FILES = f"{', '.join(READERS)} (also {', '.join(COMPRESSED)})"
NOT_DATA = re.compile(r"(readme|license|dataset_infos?\.json|requirements\.txt)", re.IGNORECASE)
"""Files beside a dataset that hold none of its rows."""


def local(source: SourceConfig) -> Path | None:
    """The file or folder that `source.text` names, or None for a dataset on the hub.

    Raises ConfigError for a file that does not exist or is of an unknown kind.
    """
    path = Path(source.text).expanduser()
    if path.is_dir() or (path.is_file() and kind(path.name)):
        return path
    named = path.is_absolute() or source.text.startswith((".", "~"))
    if path.is_file() or kind(path.name) or named or re.search(r"[*?\[]", source.text):
        known = f"a {FILES} file that exists, a folder of such files, or a dataset"
        near = nearest(path.name, _neighbours(path)) if not path.is_file() else ""
        raise ConfigError("source.text", source.text, known + near)
    return None


def _neighbours(path: Path) -> list[str]:
    return [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []


class Documents:
    """The documents of a source that are not blank; each iteration reads the text again.

    A row is bad where it is damaged or has no text. A blank row is left out, but is not bad.
    Iteration raises ConfigError for a text that cannot be read, and at the end as
    `check_bad_rows` does.

    Attributes:
        rows, n: numbers of rows and documents of the latest iteration so far.
        left_out: number of rows that were left out, by reason.
        examples: descriptions of the first bad rows, which are counted from 1.
        files: files of a folder that are not read.
    """

    def __init__(self, source: SourceConfig, revision: str = ""):
        self.source, self._revision = source, revision
        self._clear()

    def _clear(self) -> None:
        self.rows = self.n = 0
        self.left_out: Counter[str] = Counter()
        self.examples: list[str] = []
        self.files: list[str] = []
        self._columns: list[str] = []
        self._fields: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        self._clear()
        where = self.source.text
        try:
            for row in self._read():
                self.rows += 1
                text = self._text(row)
                if isinstance(text, str):
                    self.n += 1
                    yield text
                elif self.n == 0 and self.bad >= GIVE_UP_AFTER:
                    break
        except ConfigError:
            raise
        except Exception as error:  # damaged, or of another kind than its name: many libraries
            why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            text = f"text that can be read ({why})"
            raise ConfigError("source.text", where, text) from error
        self.check_bad_rows()

    @property
    def bad(self) -> int:
        """Number of rows left out, without blank ones."""
        return self.left_out.total() - self.left_out[BLANK]

    def check_bad_rows(self) -> None:
        """Raise ConfigError for more than one bad row and more than `source.bad_rows` of all."""
        s = self.source
        if not self.bad or (self.n and self.bad <= max(1, s.bad_rows * self.rows)):
            return
        counts = [(why, n) for why, n in self.left_out.most_common() if why != BLANK]
        found = ", ".join(f"{n} of {self.rows} rows: {why}" for why, n in counts)
        found += f" ({'; '.join(self.examples)})"
        if self._fields[counts[0][0]] == "source.column":
            names = listed(s.column, self._columns)
            raise ConfigError("source.column", s.column, f"a column of text; {found}; of: {names}")
        share = f"at most a share of {s.bad_rows:g} of bad rows (source.bad_rows)"
        raise ConfigError("source.text", s.text, f"{share}; {found}")

    def summary(self) -> dict[str, Any]:
        """Counts of documents and rows, for the manifest of a harvest."""
        found = {"documents": self.n, "rows": self.rows, "left_out": dict(self.left_out)}
        return found | {"examples": self.examples, "files_left_out": self.files}

    def _text(self, row: Row) -> str | None:
        """The text of a row; None for a row without usable text, which is counted."""
        column = self.source.column
        found = row if isinstance(row, BadRow) else cell(row, column)
        if isinstance(row, dict) and not self._columns:
            self._columns = [str(name) for name in row]
        if isinstance(found, str):
            if not found or found.isspace():
                self.left_out[BLANK] += 1
                return None
            if found.isascii() or not (wrong := SURROGATE.search(found)):
                return found
            found = BadRow("not UTF-8" if wrong[0] >= "\udc80" else "lone surrogate")
        self.left_out[found.why] += 1
        self._fields[found.why] = found.field
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"row {self.rows}: {found.why}{found.hint}")
        return None

    def _read(self) -> Iterator[Row]:
        path = local(self.source)
        if path is None:
            yield from _dataset_rows(self.source, self._revision)
        elif path.is_dir():
            yield from _folder_rows(path, self.source, self.files)
        else:
            yield from rows(path, self.source.column)


def cell(row: Any, column: str) -> str | BadRow:
    """The text in `column` of a row, or a `BadRow`.

    `a.b` is `b` in the object `a`. The strings of a list are joined by blank lines.
    """
    found = _value(row, column)
    if isinstance(found, list) and found and all(isinstance(part, str) for part in found):
        return JOIN.join(found)
    if isinstance(found, (str, BadRow)):
        return found
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return BadRow("a list of objects", "source.column", _column_hint(found[0], column))
    if isinstance(found, dict):
        return BadRow("an object", "source.column", _column_hint(found, column))
    why = "null" if found is None else f"{type(found).__name__} in place of text"
    return BadRow(why, "source.column")


def _column_hint(found: dict[Any, Any], column: str) -> str:
    """A hint at the name of the column with the text inside an object."""
    texts = [key for key, value in found.items() if isinstance(value, str) and key.isprintable()]
    best = "content" if "content" in texts else (texts or ["NAME"])[-1]
    return f" (its text may be source.column={column}.{best})"


def _value(value: Any, column: str) -> Any:
    """The value of a column, which may lie inside objects and inside each object of a list."""
    if isinstance(value, list):
        found = [_value(part, column) for part in value]
        return next((bad for bad in found if isinstance(bad, BadRow)), found)
    if isinstance(value, dict):
        if column in value:
            return value[column]
        head, _, rest = column.partition(".")
        if rest and head in value:
            return _value(value[head], rest)
    return BadRow("no such column", "source.column")


def _folder_rows(folder: Path, source: SourceConfig, unread: list[str]) -> Iterator[Row]:
    """The rows of a split in a folder that `datasets` saved, or in the files of a folder.

    Only files of the most frequent kind are read, in the order of their names; the names of the
    others are appended to `unread`.
    """
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        yield from _saved(folder, source)
        return
    every = [p for p in folder.rglob("*") if p.is_file() and not NOT_DATA.match(p.name)]
    every = [p for p in every if not any(x.startswith(".") for x in p.relative_to(folder).parts)]
    kinds = Counter(known for p in every if (known := kind(p.name)))
    if not kinds:
        yield from _dataset_rows(source, "")
        return
    (most, _), *_ = kinds.most_common()
    unread += sorted(str(p.relative_to(folder)) for p in every if kind(p.name) != most)
    for path in _split(folder, source):
        if kind(path.name) == most and not NOT_DATA.match(path.name):
            yield from rows(path, source.column)


def _split(folder: Path, source: SourceConfig) -> list[Path]:
    """The files of the split, by their names, or by the README where it lists configurations."""
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


def _saved(folder: Path, source: SourceConfig) -> Iterator[Row]:
    from datasets import DatasetDict, load_from_disk

    found: Any = load_from_disk(str(folder))
    if isinstance(found, DatasetDict):
        one_of("source.split", source.split, list(found))
        found = found[source.split]
    names = found.column_names
    head = source.column if source.column in names else source.column.partition(".")[0]
    return iter(found.select_columns([head]) if head in names else found)


def _dataset_rows(source: SourceConfig, revision: str) -> Iterator[dict[str, Any]]:
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
