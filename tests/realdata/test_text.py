"""Text from files, folders and datasets, packed into contexts."""

import bz2
import csv
import gzip
import json
import lzma
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realdata import packing, readers
from realdata.packing import Listener, Packer, pack
from realdata.text import Documents
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig

TEXTS = ["one two\n\nthree", "  ", "four", "fünf"]
GOOD = [TEXTS[0], TEXTS[2], TEXTS[3]]
BOS = 0


def source(path: Path | str, **fields: Any) -> SourceConfig:
    return SourceConfig(model="-", text=str(path), **fields)


def documents(path: Path | str, **fields: Any) -> list[str]:
    return list(Documents(source(path, **fields)))


def refused(path: Path | str, **fields: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        documents(path, **fields)
    assert "\n" not in str(error.value)
    return error.value


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder: Path, kind: str) -> Path:
    path = folder / f"text{kind}"
    rows = [{"text": text, "n": 1} for text in TEXTS]
    columns = {"text": TEXTS, "n": [1] * len(TEXTS)}
    lines = jsonl(rows)
    if kind == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=2)
    elif kind in (".csv", ".tsv"):
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["text", "n"], delimiter="\t" if kind == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    else:
        made = {".rows.json": json.dumps(rows, indent=1), ".columns.json": json.dumps(columns)}
        made |= {".texts.json": json.dumps(TEXTS), ".under.json": json.dumps({"data": rows})}
        made |= {".pandas.json": json.dumps({"text": dict(enumerate(TEXTS))})}
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
        how = pack.get(path.suffix.lower(), lambda data: data)
        path.write_bytes(how(made.get(kind, lines).encode()))
    return path


KINDS = [".jsonl", ".JSONL", ".ndjson", ".jsonl.gz", ".jsonl.GZ", ".jsonl.bz2", ".jsonl.xz"]
KINDS += [".parquet", ".csv", ".tsv", ".json", ".rows.json", ".columns.json"]
KINDS += [".texts.json", ".under.json", ".pandas.json"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_file(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    found = Documents(source(path))
    assert list(found) == GOOD
    assert list(found) == GOOD  # a second pass reads it anew
    assert (found.n, found.rows, dict(found.left_out)) == (3, 4, {"blank": 1})
    if kind != ".texts.json":
        error = refused(path, column="txt")
        assert (error.field, error.value) == ("source.column", "txt")
        assert error.allowed.endswith("did you mean text?")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_paragraphs_of_a_txt(tmp_path: Path, end: str, mark: bytes) -> None:
    """However its lines end, and the same alone, compressed and in a folder."""
    lines = ["", "", "one", "two\u2028still two\x0c", " ", "", "three"]
    data = mark + end.join(lines).encode()
    expected = ["one\ntwo\u2028still two\x0c\n", "three"]
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "b.TXT.gz").write_bytes(gzip.compress(data))
    assert documents(tmp_path / "a.txt") == expected
    assert documents(tmp_path / "b.TXT.gz") == expected
    assert documents(tmp_path) == expected * 2


def test_a_byte_order_mark(tmp_path: Path) -> None:
    for kind in (".jsonl", ".csv", ".rows.json"):
        path = write(tmp_path, kind)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert documents(path) == GOOD
    for kind, code in ((".txt", "utf-16"), (".jsonl", "utf-16-le"), (".csv", "utf-32")):
        path = tmp_path / f"wide{kind}"
        path.write_bytes(jsonl([{"text": "one"}]).encode(code))
        assert f"iconv -f {code[:6].upper()}" in refused(path).allowed


def test_zstandard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd more")
    for name in ("zstandard", "compression"):
        monkeypatch.setitem(sys.modules, name, None)
    error = refused(path)
    assert error.field == "source.text"
    assert "zstd -d" in error.allowed


@pytest.mark.parametrize(
    ("column", "expected"),
    [("a.b", ["one", "two"]), ("m.content", ["hi\n\nho", "hu"]), ("parts", ["x\n\ny", "z"])],
)
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".parquet"])
def test_nested_columns(tmp_path: Path, kind: str, column: str, expected: list[str]) -> None:
    rows = [
        {
            "a": {"b": "one"},
            "m": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
            "parts": ["x", "y"],
        },
        {"a": {"b": "two"}, "m": [{"role": "user", "content": "hu"}], "parts": ["z"]},
    ]
    path = tmp_path / f"a{kind}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(jsonl(rows) if kind == ".jsonl" else json.dumps(rows))
    assert documents(path, column=column) == expected
    error = refused(path, column="m")
    assert error.field == "source.column"
    assert "source.column=m.content" in error.allowed


SURROGATE, BYTES = '{"text": "cut \\ud83d"}', b'{"text": "\xff\xfe"}'
BAD: list[tuple[str | bytes, str, str]] = [
    (SURROGATE, "lone surrogate", "source.text"),
    (BYTES, "not UTF-8", "source.text"),
    ('{"text": "cut', "broken JSON", "source.text"),
    ("[" * 100_000, "broken JSON", "source.text"),
    ('{"text": ' + "1" * 5000 + "}", "broken JSON", "source.text"),
    ('["text"]', "no JSON object", "source.text"),
    ('{"text": null}', "null", "source.column"),
    ('{"text": 3}', "int in place of text", "source.column"),
    ('{"text": {"content": "x"}}', "an object", "source.column"),
    ('{"story": "x"}', "no such column", "source.column"),
]


@pytest.mark.parametrize(("row", "why", "field"), BAD, ids=[why for _, why, _ in BAD])
def test_a_row_that_cannot_be_used(tmp_path: Path, row: str | bytes, why: str, field: str) -> None:
    """It is left out, named and counted; too many are refused."""
    path = tmp_path / "a.jsonl"
    row = row if isinstance(row, bytes) else row.encode()
    good = [jsonl([{"text": f"d{i}"}]).encode() for i in range(20)]

    def found(n_bad: int, **fields: Any) -> Documents:
        path.write_bytes(b"".join(good[:7]) + (row + b"\n") * n_bad + b"".join(good[7:]))
        made = Documents(source(path, **fields))
        assert list(made) == [f"d{i}" for i in range(20)]
        return made

    one = found(1)
    assert (one.rows, dict(one.left_out)) == (21, {why: 1})
    assert one.examples[0].startswith(f"row 8: {why}")
    assert len(found(5, bad_rows=0.2).examples) == 3
    with pytest.raises(ConfigError) as error:
        found(5)
    assert error.value.field == field
    assert f"5 of 25 rows: {why}" in error.value.allowed


def test_one_of_ten_may_be_bad_and_not_all(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl([{"text": "x"}] * 3 + [{"text": None}]))
    assert documents(path) == ["x"] * 3  # one row is not refused
    path.write_text(jsonl([{"text": None}]))
    assert refused(path).field == "source.column"
    path.write_text(jsonl([{"text": ""}] * 50 + [{"text": "x"}]))
    assert documents(path) == ["x"]  # blank rows are no fault
    path.write_text(jsonl([{"text": 1}] * 10_000 + [{"text": "x"}] * 10**6))
    assert "100 of 100 rows" in refused(path).allowed  # and no further


def test_bad_rows_of_a_csv(tmp_path: Path) -> None:
    path, long = tmp_path / "a.csv", "x" * 200_000
    path.write_bytes(f'n,text\n1,"a, ""b""\nc"\n2,d,e\n3\n4,{long}\n5,'.encode() + b"\xff\n6,f\n")
    limit = csv.field_size_limit()
    found = Documents(source(path, bad_rows=0.5))
    assert list(found) == ['a, "b"\nc', long, "f"]
    assert found.left_out == {"more fields than the header": 1, "null": 1, "not UTF-8": 1}
    assert csv.field_size_limit() == limit


def test_names_of_columns_that_cannot_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,"b\r\nc",\xff' + b",d" * 1000 + b"\n1,2\n")
    error = refused(path)
    assert error.field == "source.column"
    assert len(error.allowed.encode()) < 300


def test_bad_rows_of_a_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    raw = pa.array([b"a", b"\xff", None, b"b"])
    wrong = pa.StringArray.from_buffers(4, *raw.buffers()[1:], raw.buffers()[0], 1)
    pq.write_table(pa.table({"text": wrong, "bytes": raw}), path)
    found = Documents(source(path, bad_rows=0.5))
    assert list(found) == ["a", "b"]
    assert found.left_out == {"not UTF-8": 1, "null": 1}
    assert refused(path, column="bytes").field == "source.column"


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", ".jsonl")
    (tmp_path / "README.md").write_text("# Text")
    assert documents(tmp_path) == GOOD
    with open(tmp_path / "data/text.jsonl", "a") as file:
        file.write("{\n")
    (tmp_path / "notes.json").write_text("{}")
    write(tmp_path, ".jsonl")
    found = Documents(source(tmp_path))
    assert list(found) == GOOD * 2  # a broken row does not end it
    assert found.left_out == {"blank": 2, "broken JSON": 1}
    assert found.files == ["notes.json"]
    error = refused(tmp_path, split="dev")
    assert (error.field, error.value) == ("source.split", "dev")


def test_a_folder_with_splits(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text(f"{name} 1\n\n{name} 2")
    assert documents(tmp_path) == ["train 1\n", "train 2"]
    assert documents(tmp_path, split="test") == ["test 1\n", "test 2"]


def test_what_datasets_saves_to_disk(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict({"text": TEXTS, "m": [{"a": text} for text in TEXTS]})
    rows.save_to_disk(tmp_path / "one")
    DatasetDict({"train": rows, "test": rows.select([2])}).save_to_disk(tmp_path / "several")
    assert documents(tmp_path / "one") == GOOD
    assert documents(tmp_path / "one", column="m.a") == GOOD
    assert documents(tmp_path / "several") == GOOD
    assert documents(tmp_path / "several", split="test") == ["four"]
    error = refused(tmp_path / "several", split="tset")
    assert (error.field, error.value) == ("source.split", "tset")
    assert refused(tmp_path / "one", column="story").field == "source.column"


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.TXT.gz", "there.doc", "./x", "*.txt"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "there.doc").write_text("x")
    (tmp_path / "absence.jsonl").write_text("x")
    error = refused(tmp_path / name)
    assert (error.field, error.value) == ("source.text", str(tmp_path / name))
    if name == "absent.jsonl":
        assert error.allowed.endswith("did you mean absence.jsonl?")


@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".jsonl.gz", ".parquet", ".json", ".csv"])
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    path.write_bytes(b"\xff\xfe{}{")
    assert refused(path).field == "source.text"


@pytest.mark.parametrize("kind", [".jsonl.gz", ".jsonl.bz2", ".jsonl.xz", ".parquet", ".rows.json"])
def test_truncated_files(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-12])
    assert refused(path).field == "source.text"


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([*readers.READERS, ".txt.gz", ".json.xz"]))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"a{kind}"
    path.write_bytes(data)
    with suppress(ConfigError):
        assert all(text.encode() for text in documents(path))


docs = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=30), min_size=1, max_size=20)


@given(docs, st.integers(2, 8), st.booleans(), st.booleans())
def test_contexts(texts: list[list[int]], length: int, has_bos: bool, skip: bool) -> None:
    packer = Packer(10**9, length, BOS if has_bos else None, skip)
    for text in texts:
        packer.add(text)
    stream = [i for text in texts for i in ([BOS] * has_bos + text)]
    assert len(packer.contexts) > 0 or len(stream) < 2 * length
    if not packer.contexts:
        return
    tokens, positions = packer.packed()
    assert tokens.shape[1] == length
    if has_bos:
        assert (tokens[:, 0] == BOS).all()  # BOS begins a document or was put before its rest
    words = tokens.ravel()[tokens.ravel() != BOS]
    expected = np.array([i for i in stream if i != BOS])
    assert np.array_equal(words, expected[: len(words)])  # nothing lost, doubled or moved
    assert len(expected) - len(words) <= length
    kept = tokens.ravel()[positions]
    assert np.array_equal(kept, words if has_bos and skip else tokens.ravel())


def test_a_context_by_hand() -> None:
    packer = Packer(100, 4, BOS, skip=True)
    for text in ([1, 2, 3, 4, 5], [6, 7], [8, 9]):
        packer.add(text)
    assert np.array_equal(packer.packed()[0], [[0, 1, 2, 3], [0, 4, 5, 0], [0, 6, 7, 0]])
    assert packer.packed()[1].tolist() == [1, 2, 3, 5, 6, 9, 10]


def encode(texts: list[str]) -> list[list[int]]:
    return [[int(word) for word in text.split()] for text in texts]


def test_a_text_may_have_the_id_of_bos() -> None:
    """Only where it was put it is left out: an unknown character may have the same id."""
    packer = Packer(100, 4, BOS, skip=True)
    for text in ([0, 2, 3, 0, 5], [6, 0]):
        packer.add(text)
    assert np.array_equal(packer.packed()[0], [[0, 0, 2, 3], [0, 0, 5, 0]])
    assert packer.packed()[1].tolist() == [1, 2, 3, 5, 6]
    assert packer.count(BOS) == (2, 5)
    parts = Packer(100, 4, BOS, skip=True)
    for ids, new in (([0, 2], True), ([3, 0, 5], False), ([6, 0], True)):
        parts.add(ids, new)
    assert np.array_equal(parts.packed()[0], packer.packed()[0])


def test_documents_are_held_out_whole() -> None:
    texts = [" ".join([str(i)] * (7 if i % 4 else 30)) for i in range(1, 201)]
    found = pack(texts, encode, BOS, source("-", tokens=900, context=8, held_out=0.25))
    train, held = (np.unique(found[split][0]).tolist() for split in ("train", "eval"))
    assert set(train) & set(held) == {BOS}
    assert not any(i % 4 == 0 for i in train[1:])  # not even once there are enough of them
    assert held[1:] == list(range(4, 4 * len(held), 4))  # evenly spread
    assert [len(found[split][1]) for split in ("train", "eval")] == [675, 225]  # to the row


class Held(Listener):
    way = ""

    def begin(self, held_out: str) -> None:
        self.way = held_out


def words(n: int, first: int = 1) -> str:
    return " ".join(str(i) for i in range(first, first + n))


@pytest.mark.parametrize(
    ("texts", "way"),
    [
        ([words(2000)], "ends of documents"),
        ([words(1000), words(1000, 2000)], "last documents"),
        ([words(1000, 1000 * i) for i in range(1, 10)], "last documents"),
        ([words(1000, 1000 * i) for i in range(1, 11)], "documents"),
        ([words(100, 1000 * i) for i in range(1, 10)] + ["1", "2"], "last documents"),
        ([words(900, 1), "901 902 903"], "ends of documents"),
    ],
    ids=["one", "two", "nine", "ten", "short ones last", "no other fits"],
)
def test_few_documents(texts: list[str], way: str) -> None:
    asked, held = source("-", tokens=500, context=8), Held()
    found = pack(texts, encode, BOS, asked, held)
    assert held.way == way
    assert [len(found[split][1]) for split in ("train", "eval")] == [450, 50]
    train, other = (set(found[split][0].ravel().tolist()) - {BOS} for split in found)
    assert not train & other
    assert all((found[split][0][:, 0] == BOS).all() for split in found)
    if way != "ends of documents":
        whole = [set(map(int, text.split())) for text in texts]
        assert not any(ids & train and ids & other for ids in whole)


@pytest.mark.parametrize(
    "texts", [[words(300)], [words(90)] * 3, [words(9)] * 30, ["1", words(99)]]
)
@pytest.mark.parametrize("held_out", [0.1, 0.5, 0.73])
def test_the_most_that_fits(texts: list[str], held_out: float) -> None:
    """It is said right: so many fit and one more does not."""

    def made(tokens: int) -> dict[str, Any]:
        asked = source("-", tokens=tokens, context=4, held_out=held_out)
        return pack(texts, encode, BOS, asked)

    with pytest.raises(ConfigError) as error:
        made(10_000)
    assert error.value.field == "source.tokens"
    most = int(error.value.allowed.split()[2].rstrip(":"))
    assert len(made(most)) == 2
    with pytest.raises(ConfigError):
        made(most + 1)


def test_long_documents_are_tokenised_as_far_as_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tokenizer sees few of their characters, few at once, and gives the same contexts."""
    texts = [words(50_000, 50_000 * i) for i in range(30)]
    asked, seen = source("-", tokens=3000, context=8), []

    def counted(some: list[str]) -> list[list[int]]:
        seen.append(sum(map(len, some)))
        return encode(some)

    whole = pack(texts, encode, BOS, asked)
    monkeypatch.setattr(packing, "PIECE", 1000)
    monkeypatch.setattr(packing, "AT_ONCE", 4000)
    found = pack(texts, counted, BOS, asked)
    assert max(seen) <= 6000
    assert sum(seen) < 60_000  # of nine million
    for split in ("train", "eval"):
        assert all(np.array_equal(a, b) for a, b in zip(found[split], whole[split], strict=True))


def prefixed(texts: list[str]) -> list[list[int]]:
    """As sentencepiece: a space before each text, and tokens of up to four characters."""
    return [by_four([" " + text])[0] for text in texts]


def by_four(texts: list[str]) -> list[list[int]]:
    """Words with the space before them, in tokens of up to four characters."""
    found = []
    for text in texts:
        parts = [part for word in re.findall(r" ?[^ ]+| +", text) for part in _fours(word)]
        found.append([sum(ord(c) << 21 * i for i, c in enumerate(part)) for part in parts])
    return found


def _fours(word: str) -> list[str]:
    return [word[i : i + 4] for i in range(0, len(word), 4)]


@given(st.integers(0, 10**6))
@settings(max_examples=20)
@pytest.mark.parametrize("encoder", [by_four, prefixed])
def test_pieces_have_the_tokens_of_the_whole(
    encoder: Callable[[list[str]], list[list[int]]], seed: int
) -> None:
    text = "".join(np.random.default_rng(seed).choice(list("abc .\n語"), 2000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PIECE", 200)
        found = list(packing.pieces(text, 0, len(text), encoder))
    tokens = [i for ids in encoder(found) for i in ids]
    assert tokens == encoder([text])[0]


def test_text_that_is_too_short() -> None:
    texts = ["1 2 3 4 5 6"] * 20
    with pytest.raises(ConfigError) as error:
        pack(texts, encode, BOS, source("-"))
    assert error.value.field == "source.text"
    with pytest.raises(ConfigError, match=r"source.tokens: 1000; allowed: at most (\d+)") as error:
        pack(texts, encode, BOS, source("-", tokens=1000, context=4, held_out=0.5))
    most = int(str(error.value).split("at most ")[1].split(":")[0])
    assert len(pack(texts, encode, BOS, source("-", tokens=most, context=4, held_out=0.5))) == 2
    with pytest.raises(ConfigError, match=r"source.tokens"):
        pack(texts, encode, BOS, source("-", tokens=most + 2, context=4, held_out=0.5))
