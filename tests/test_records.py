"""Pages and README say what the records of their studies say.

A number of a page occurs in the record if the finding, its table or a setting rounds to it. In a
large table a number may occur by chance: this finds most wrong numbers, not all.
"""

import json
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from prose import Number, cited, numbers, part, sentences, untold, worlds

from synthsae.checks import ConfigError
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.study import Study, load, names, plan

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import record as script

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {name: (ROOT / "studies" / name / "README.md").read_text() for name in names()}
RECORDS = {
    path.parent.name: json.loads(path.read_text())
    for path in sorted((ROOT / "studies").glob("*/record.json"))
}
recorded = pytest.mark.parametrize("name", list(RECORDS))


def test_studies_without_a_record_are_listed() -> None:
    if without := [name for name in PAGES if name not in RECORDS]:
        warnings.warn(f"studies without a record: {', '.join(without)}", stacklevel=1)


@recorded
def test_a_page_shows_its_record(name: str) -> None:
    assert script.section(PAGES[name]) == script.block(RECORDS[name])


@recorded
def test_the_numbers_of_an_answer_are_in_the_record(name: str) -> None:
    answer = part(PAGES[name], "Answer")
    assert untold(answer, RECORDS[name]) == []
    assert worlds(answer) <= {len(RECORDS[name]["worlds"])}


@recorded
def test_a_record_is_small_and_of_the_default_run_of_today(name: str) -> None:
    found = RECORDS[name]
    assert (ROOT / "studies" / name / "record.json").stat().st_size < 200_000
    assert found["hash"] == plan(load(name), {}).digest
    assert found["question"] == load(name).question


@pytest.mark.parametrize("heading", ["What was found", "What the figure says"])
def test_the_numbers_of_the_readme_are_in_the_records_that_it_cites(heading: str) -> None:
    assert part(README, heading)
    for sentence in sentences(part(README, heading)):
        studies = [name for name in cited(sentence) if name in PAGES]
        if studies and all(name in RECORDS for name in studies):
            found = [RECORDS[name] for name in studies]
            assert untold(sentence, *found) == [], sentence
            assert worlds(sentence) <= {len(record["worlds"]) for record in found}, sentence


def a_record(**finding: Any) -> dict[str, Any]:
    found = {"text": "", "values": {}, "columns": [], "rows": []} | finding
    settings = {name: [] for name in ("seeds", "steps", "samples_trained", "samples_evaluated")}
    return {"finding": found, "swept": {}, "definitions": {}, "worlds": [0, 1], **settings}


def test_the_numbers_of_a_sentence() -> None:
    text = """At rank 8, .06% [-.01, 1.00] of 20,480; L0, F1, R^4 and 2R are names, `k = 3` is code,
    2606.12138 is a paper, 2026-11-27 a day, [3](../4.md) a link. Rank-8 latents: 12 to 95%."""
    assert [(n.text, n.value, n.places) for n in numbers(text)] == [
        ("8", 8, 0),
        (".06%", pytest.approx(6e-4), 4),
        ("-.01", -0.01, 2),
        ("1.00", 1, 2),
        ("20,480", 20480, 0),
        ("3", 3, 0),
        ("8", 8, 0),
        ("12", 12, 0),
        ("95%", 0.95, 2),
    ]
    assert worlds("two worlds, 12 worlds, one seed, another world") == {2, 12}


def test_sentences_and_what_they_cite() -> None:
    text = "1. **Low.** One has 4% (`a`, one\n   world). B is .5 after 2.\n2. C (`b`, `c`), `d`: 3."
    assert sentences(text) == [
        "Low.",
        "One has 4% (`a`, one world).",
        "B is .5 after 2.",
        "C (`b`, `c`), `d`: 3.",
    ]
    assert [cited(s) for s in sentences(text)] == [[], ["a"], [], ["b", "c"]]


def test_a_wrong_number_is_found() -> None:
    record = a_record(values={"p": 0.2549}, rows=[["0.94 [0.90, 0.99]", -0.03, None]])
    assert untold("25% and .255, .94, .03 and -.03, [.90, .99]", record) == []
    assert untold("26% and .254, +.03, .95", record) == ["26%", ".254", "+.03", ".95"]
    assert untold("26%", record, a_record(values={"q": 0.26})) == []


@given(st.floats(-2000, 2000), st.integers(0, 3))
def test_a_rounded_number_is_told_and_its_neighbours_are_not(x: float, places: int) -> None:
    exact = script.plain(x)
    for size in (x, 100 * x):  # as a number and as a percentage
        text = f"{size:,.{places}f}" + "%" * (size != x)
        (number,) = numbers(f"it is {text}, they say")
        assert number.tells(exact)
        step = 10.0**-number.places
        if abs(exact) < 1 and number.places <= 3:
            off = Number("", number.value + 1.2 * step, number.places, signed=True)
            assert not off.tells(exact)


def test_a_block_by_hand() -> None:
    record = {
        "finding": {"text": "Words.", "columns": ["arch", "a|b", "n"], "rows": []},
        "worlds": [0, 1],
        "seeds": [8],
        "date": "2026-11-28",
        "git_commit": "93be690f4328af and 1234567890ab",
    }
    origin = (
        "Run of 2026-11-28, commit 93be690f4 and 123456789: 2 worlds, 8 seeds. "
        "All numbers: [record.json](record.json)."
    )
    assert script.block(record) == f"Words.\n\n{origin}"
    record["finding"]["rows"] = [["topk", 0.12345, 20480], ["relu", None, 12345.6]]
    table = (
        "| arch | a/b | n |\n| --- | --- | --- |\n| topk | 0.123 | 20480 |\n| relu | - | 12346 |"
    )
    assert script.block(record) == f"{table}\n\n{origin}"
    record["finding"]["rows"] *= 13
    assert script.block(record) == origin


@pytest.mark.parametrize("page", ["# A\n\n## Reproduce\n\nRun.\n", "# A\n"])
def test_a_page_gets_its_block_where_the_markers_are(page: str) -> None:
    if script.BEFORE in page:
        once = script.filled(page, "one")
        assert once.index("one") < once.index(script.BEFORE)
    else:
        once = f"{page}{script.BEGIN}one\n{script.END}\nafter\n"
    twice = script.filled(once, "two")
    assert script.section(once) == "one"
    assert twice == once.replace("one", "two")


def a_run(study: Study) -> xr.Dataset:
    """What `record` reads of a Dataset of the default run of `study`."""
    grid = plan(study, {})
    ds = xr.Dataset({"p": ("rank", [0.123456, float("nan")])}, {"rank": [2, 4]})
    base = grid.cells[0].config.record()
    ds.attrs = {name: "x" for name in ("git_commit", "scored_at", "device")} | {
        "study": "mine",
        "hash": grid.digest,
        "config": json.dumps({"base": base, "axes": grid.axes}),
        **{name: "{}" for name in ("versions", "definitions")},
        **{name: "5" for name in ("samples_trained", "samples_evaluated")},
    }
    return ds


STUDY = Study(
    question="Is it?",
    base=Config(n_seeds=3),
    axes={"world.rank": (2, 4), "world_seed": (0, 7)},
    scores=(),
    figure=lambda ds: Figure(figsize=(1, 1)),
    finding=lambda ds: Finding("p is {p}.", {"p": ds.p[0].item()}, ds.p.to_dataframe()),
    supplement=lambda ds: Figure(figsize=(2, 1)),
)


def test_a_run_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "load", lambda name: STUDY)
    monkeypatch.setattr(script, "open_results", lambda name, out: a_run(STUDY))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.nc").touch()
    page = tmp_path / "mine" / "README.md"
    page.write_text("# `mine`\n\n## Reproduce\n")
    assert script.main(["mine", "--results", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "mine" / "record.json").read_text())
    assert record["finding"]["text"] == "p is 0.12."
    assert record["finding"]["values"] == {"p": 0.1235}
    assert record["finding"]["rows"] == [[0.1235], [None]]
    assert (record["swept"], record["worlds"]) == ({"rank": [2, 4], "world_seed": [0, 7]}, [0, 7])
    assert (record["seeds"], record["date"]) == ([3], str(datetime.now(UTC).date()))
    assert script.section(page.read_text()) == script.block(record)
    assert {p.name for p in (tmp_path / "mine").glob("*.png")} == {"figure.png", "supplement.png"}


def test_another_run_than_the_default_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        script.record(STUDY, a_run(STUDY).assign_attrs(hash="other"), "today")
    assert error.value.field == "results"
