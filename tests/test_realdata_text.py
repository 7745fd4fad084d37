"""Text from files and datasets, packed into contexts."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realdata.config import SourceConfig
from realdata.packing import Packer, pack
from realdata.text import Documents as documents
from synthsae.checks import ConfigError

TEXTS = ["one two\n\nthree", "  ", "four", "fünf"]
BOS = 0


def source(path: Path | str, **fields: Any) -> SourceConfig:
    return SourceConfig(model="-", text=str(path), **fields)


def write(folder: Path, kind: str) -> Path:
    path = folder / f"text{kind}"
    lines = "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS)
    if kind == ".jsonl":
        path.write_text(lines + "\n")
    elif kind == ".jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif kind == ".parquet":
        pq.write_table(pa.table({"text": TEXTS, "n": [1] * len(TEXTS)}), path, row_group_size=2)
    return path


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.gz", ".parquet"])
def test_rows_of_a_file(tmp_path: Path, kind: str) -> None:
    assert list(documents(source(write(tmp_path, kind)))) == [TEXTS[0], TEXTS[2], TEXTS[3]]
    with pytest.raises(ConfigError, match=r"source.column: 'story'; allowed: .*text, n|n'\]"):
        list(documents(source(write(tmp_path, kind), column="story")))


def test_paragraphs_of_a_txt(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\none\ntwo\n \n\nthree")
    assert list(documents(source(path))) == ["one\ntwo\n", "three"]


def test_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", ".jsonl")
    assert list(documents(source(tmp_path / "data")))[1:] == ["four", "fünf"]
    with pytest.raises(ConfigError, match=r"source.text: .*a dataset that can be read"):
        list(documents(source(tmp_path / "data", split="dev")))


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.txt", "there.doc"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "there.doc").write_text("x")
    with pytest.raises(ConfigError, match=r"source.text: .*\.parquet file that exists"):
        list(documents(source(tmp_path / name)))


@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".jsonl.gz", ".parquet"])
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    path.write_bytes(b"\xff\xfe{}{")
    with pytest.raises(ConfigError, match=r"source.text: .*text that can be read"):
        list(documents(source(path)))


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


def test_documents_are_held_out_whole() -> None:
    texts = [" ".join([str(i)] * (7 if i % 4 else 30)) for i in range(1, 201)]
    found = pack(texts, encode, BOS, source("-", tokens=900, context=8, held_out=0.25))
    train, held = (np.unique(found[split][0]).tolist() for split in ("train", "eval"))
    assert set(train) & set(held) == {BOS}
    assert not any(i % 4 == 0 for i in train[1:])  # not even once there are enough of them
    assert held[1:] == list(range(4, 4 * len(held), 4))  # evenly spread
    assert [len(found[split][1]) for split in ("train", "eval")] == [675, 225]  # to the row


def test_text_that_is_too_short() -> None:
    texts = ["1 2 3 4 5 6"] * 20
    with pytest.raises(ConfigError, match=r"source.text: .* a context of 128 each"):
        pack(texts, encode, BOS, source("-"))
    with pytest.raises(ConfigError, match=r"source.tokens: 1000; allowed: at most (\d+)") as error:
        pack(texts, encode, BOS, source("-", tokens=1000, context=4, held_out=0.5))
    most = int(str(error.value).split("at most ")[1].split(":")[0])
    assert len(pack(texts, encode, BOS, source("-", tokens=most, context=4, held_out=0.5))) == 2
    with pytest.raises(ConfigError, match=r"source.tokens"):
        pack(texts, encode, BOS, source("-", tokens=most + 2, context=4, held_out=0.5))
