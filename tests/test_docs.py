"""What the documents point to exists, and the README's commands have the form that CI relies on."""

import re
from pathlib import Path

import pytest

from synthsae.study import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [p for p in ROOT.rglob("*.md") if ".venv" not in p.parts]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_the_first_two_bash_blocks_are_one_line_each() -> None:
    run, test, *_ = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for block in (run, test):
        assert block.count("\n") == 1
        assert "-c constraints.txt" in block
    assert "synthsae.study rank_sweep" in run
    assert run.rstrip().endswith("rank_sweep")
    assert test.rstrip().endswith("pytest")


def test_every_study_has_a_page_and_a_line_in_the_index() -> None:
    index = (ROOT / "studies" / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[`(\w+)`\]", index, re.M)) == cli.names()
    for name in cli.names():
        page = (ROOT / "studies" / name / "README.md").read_text()
        assert page.startswith(f"# `{name}`: ")
        assert page.splitlines()[0].endswith("?")
        for part in (f"![{name}](figure.png)", f"$ synthsae run {name}", "](../STATISTICS.md)"):
            assert part in page, f"{name}: {part}"
        assert f"]({name}/README.md)" in index


def test_index_and_readme_ask_what_the_pages_ask_in_one_order() -> None:
    rows = re.compile(r"^\| \[`(\w+)`\]\([\w/.]+\) \| (.*\?) \|$", re.M)
    index = rows.findall((ROOT / "studies" / "README.md").read_text())
    assert index == rows.findall((ROOT / "README.md").read_text())
    for name, question in index:
        title = (ROOT / "studies" / name / "README.md").read_text().splitlines()[0]
        assert title.lower() == f"# `{name}`: {question}".lower()


def test_functions_in_the_tables_exist() -> None:
    for part in ("metrics", "theory"):
        folder = ROOT / "synthsae" / part
        code = "".join(p.read_text() for p in folder.glob("*.py"))
        for line in (folder / "README.md").read_text().splitlines():
            if line.startswith("| `"):
                for name in re.findall(r"`\.?(?:\w+\.)?(\w+)`", line.split("|")[1]):
                    assert re.search(rf"(def|class) {name}\b", code), name
