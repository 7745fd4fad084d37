"""Texts: `documents` of every kind of file, whole and damaged; `pack`; a harvest of both."""

import gzip
import io
import json
import re
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from fuzzing import answer, edited, edits, values
from hypothesis import strategies as st
from language_models import save

from realdata import text
from realdata.activations import Activations
from realdata.packing import pack
from realdata.rows import n_eval, n_train
from synthsae.config.sources import SourceConfig

DOCUMENTS = getattr(text, "Documents", None) or text.documents
KINDS = [".txt", ".jsonl", ".jsonl.gz", ".parquet", ".JSONL", ".json", ".csv", ".txt.gz"]
texts = st.text(max_size=30) | st.sampled_from(["w1 w2\nw3", "a\r\n\r\nb", "\ufeffa", "\x00", " "])
texts |= st.lists(st.sampled_from(["w1", "w2", "é", "\u2028", "<s>"]), max_size=40).map(" ".join)
words = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS[:4] * 3 + KINDS),
        "texts": st.lists(texts, max_size=12),
        "column": st.sampled_from(["text", "text", "body", "a.b", "no\nline"]),
        "rest": st.none() | values,
        "bom": st.booleans(),
        "bytes": st.just([]) | edits,
    }
)


def written(path, example):
    """The file's bytes."""
    column, rest = example["column"], example["rest"]
    rows = [{column: text} | ({} if rest is None else {"rest": rest}) for text in example["texts"]]
    if ".txt" in path.name:
        data = "\n\n".join(example["texts"]).encode(errors="surrogatepass")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        out = io.BytesIO()
        parquet.write_table(pa.table({column: pa.array(example["texts"], pa.string())}), out)
        data = out.getvalue()
    elif path.suffix == ".csv":
        import csv

        lines = io.StringIO()
        csv.writer(lines).writerows([[column], *([text] for text in example["texts"])])
        data = lines.getvalue().encode()
    elif path.suffix == ".json":
        data = json.dumps(rows).encode()
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if example["bom"] and path.suffix not in (".gz", ".parquet"):
        data = b"\xef\xbb\xbf" + data
    return edited(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data, example["bytes"])


def paragraphs(data):
    """What is between blank lines."""
    lines = re.sub("\r\n?", "\n", data.decode("utf-8-sig"))
    out = [[]]
    for line in lines.split("\n"):
        out[-1].append(line) if line.strip() else out.append([])
    return ["\n".join(part) for part in out if part]


def check_documents(example):
    """Every document that is not blank, in order; or refused, unless nothing is wrong."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"x{example['kind']}"
        path.write_bytes(written(path, example))
        source = SourceConfig(text=str(path), column=example["column"])
        found = answer(lambda: list(DOCUMENTS(source)))
        if found is not None:
            assert all(isinstance(text, str) and text.strip() for text in found), "no text"
        if example["bytes"]:
            return
        want = example["texts"]
        if path.name.endswith(".txt"):
            want = paragraphs(path.read_bytes())
        want = [text.strip("\n\ufeff") for text in want if text.strip()]
        ordinary = example["kind"] in KINDS[:4] and not example["bom"]
        ordinary &= example["column"].isalpha() and "\0" not in "".join(example["texts"])
        if ordinary and want:
            assert found is not None, "an ordinary text was refused"
        if found is not None and not path.name.endswith((".csv", ".txt.gz")):
            assert [text.strip("\n\ufeff") for text in found] == want, "other documents"


def test_documents(fuzz):
    fuzz(check_documents, words)


packings = st.fixed_dictionaries(
    {
        "lengths": st.lists(st.integers(1, 40), max_size=60),
        "bos": st.sampled_from([None, 0, 7]),
        "source": st.fixed_dictionaries(
            {"tokens": st.integers(2, 400), "context": st.integers(2, 20)},
            optional={"skip_bos": st.booleans(), "held_out": st.floats(0.01, 0.9)},
        ),
    }
)


def check_pack(example):
    """Contexts of one length that begin with BOS; tokens in order, in one split, none lost."""
    bos, ends = example["bos"], 0x4E00 + np.cumsum([0, *example["lengths"]])  # a token a character
    made = ["".join(map(chr, range(a, b))) for a, b in pairwise(ends)]
    source = answer(lambda: SourceConfig(text="-", **example["source"]))
    packed = source and answer(
        lambda: pack(made, lambda texts: [list(map(ord, t)) for t in texts], bos, source)
    )
    if packed is None:
        return
    used = {}
    for split, quota in (("train", n_train(source)), ("eval", n_eval(source))):
        contexts, positions = packed[split]
        flat = contexts.ravel()
        assert contexts.shape[1] == source.context, "length of a context"
        assert bos is None or (contexts[:, 0] == bos).all(), "no BOS"
        assert len(positions) == quota, "number of positions"
        assert (np.diff(positions) > 0).all(), "order of positions"
        assert bos is None or not source.skip_bos or (flat[positions] != bos).all(), "BOS is kept"
        used[split] = ids = flat[flat >= ends[0]]
        assert (np.diff(ids) > 0).all(), "order of tokens"
        at = np.flatnonzero(np.diff(ids) > 1)
        edges = np.isin(ids[at] + 1, ends) | np.isin(ids[at + 1], ends)
        assert edges.all(), "tokens are missing inside a document"
    assert not np.isin(used["train"], used["eval"]).any(), "a token in both splits"


def test_pack(fuzz):
    fuzz(check_pack, packings)


@cache
def model():
    """The folder of a tiny model."""
    folder = tempfile.TemporaryDirectory()
    save("llama", Path(folder.name))
    return folder


harvests = st.fixed_dictionaries(
    {
        "texts": st.lists(texts.map(lambda t: t * 20) | texts, min_size=1, max_size=40),
        "odd": st.lists(st.tuples(st.integers(0, 39), st.none() | values), max_size=2),
        "source": st.fixed_dictionaries(
            {"tokens": st.integers(20, 200), "context": st.integers(2, 64)},
            optional={"skip_bos": st.booleans(), "held_out": st.floats(0.05, 0.5)},
        ),
    }
)


def check_harvest(example):
    """Refused, or as many finite rows as were asked for, of contexts that begin with BOS."""
    with tempfile.TemporaryDirectory() as place:
        path, rows = Path(place) / "x.jsonl", [{"text": t} for t in example["texts"]]
        for i, value in example["odd"]:
            rows[i % len(rows)] = {"text": value}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        how = example["source"] | {"model": model().name, "text": str(path), "cache": place + "/c"}
        a = answer(lambda: Activations.open(SourceConfig(**how)))
        if a is None:
            return
        left_out = sum(len(split.left_out) for split in a.splits.values())
        assert a.n_train + a.n_eval == how["tokens"] - left_out, "rows"
        for stream, n in (("data", a.n_train), ("eval", a.n_eval)):
            assert (a.contexts(stream)[:, 0] == 0).all(), "no BOS"
            assert np.isfinite(a.read(np.arange(n), stream).numpy()).all(), "not finite"


def test_harvest(fuzz):
    fuzz(check_harvest, harvests, few=2)
