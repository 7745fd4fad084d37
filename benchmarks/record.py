"""Record what a finished default run found, and redraw its pictures:

    python -m benchmarks.record NAME --results DIR

The record is `studies/NAME/record.json`. The page shows its table between two markers, which it
gets before `## Reproduce` where it lacks them. `tests/test_records.py` compares both.
"""

import argparse
import json
import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xarray as xr

from synthsae import open_results
from synthsae.checks import ConfigError
from synthsae.plot.common import caveat
from synthsae.study import Study, load, plan
from synthsae.study.present import pictures

ROOT = Path(__file__).parents[1] / "studies"
BEGIN, END = "<!-- record -->\n", "<!-- /record -->"
BEFORE = "## Reproduce"
LONGEST = 25
"""Rows of the longest table that a page shows."""
DIGITS = 4
Record = Mapping[str, Any]


def record(study: Study, ds: xr.Dataset, date: str) -> dict[str, Any]:
    """What `ds` shows, and where it comes from. Numbers have four significant digits.

    Raises:
        ConfigError: `ds` is not of the default config of `study`.
    """
    grid = plan(study, {})
    if ds.attrs["hash"] != grid.digest:
        raise ConfigError("results", ds.attrs["hash"], f"a default run of today ({grid.digest})")
    found, config = study.finding(ds), json.loads(ds.attrs["config"])
    table = found.table
    rows = [] if table is None else table.itertuples(index=False, name=None)
    return {
        "question": study.question,
        "command": f"synthsae run {ds.attrs['study']}",
        "finding": {
            "text": found.sentence,
            "caveat": caveat(ds),
            "values": {name: plain(value) for name, value in found.values.items()},
            "columns": [] if table is None else [str(name) for name in table.columns],
            "rows": [[plain(cell) for cell in row] for row in rows],
        },
        "swept": {name: [plain(v) for v in values] for name, values in config["axes"].items()},
        "worlds": distinct(config, "world_seed"),
        "seeds": distinct(config, "n_seeds"),
        "steps": distinct(config, "n_steps", "train"),
        "samples_trained": json.loads(ds.attrs["samples_trained"]),
        "samples_evaluated": json.loads(ds.attrs["samples_evaluated"]),
        "definitions": json.loads(ds.attrs["definitions"]),
        "date": date,
        "git_commit": ds.attrs["git_commit"],
        "scored_at": ds.attrs["scored_at"],
        "versions": json.loads(ds.attrs["versions"]),
        "device": ds.attrs["device"],
        "hash": ds.attrs["hash"],
    }


def distinct(config: Mapping[str, Any], name: str, part: str | None = None) -> list[int]:
    """The values of a field: of its axis, or else the one of every cell."""
    base = config["base"][part] if part else config["base"]
    return list(config["axes"].get(name, [base[name]]))


def plain(value: Any) -> Any:
    """A value as JSON has it; None for a number that is not finite."""
    if isinstance(value, numbers.Integral):
        return int(value) if not isinstance(value, bool) else value
    if isinstance(value, numbers.Real):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return None if value is None else str(value)


def written(value: Any, indent: int = 1) -> str:
    """JSON with a line for each entry of a dict and for each row of a table."""
    dumped = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, Mapping) and value:
        items = [f"{json.dumps(k)}: {written(v, indent + 1)}" for k, v in value.items()]
    elif isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        items = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in value]
    else:
        return dumped
    pad = "\n" + " " * indent
    return f"{dumped[0]}{pad}{f',{pad}'.join(items)}{pad[:-1]}{dumped[-1]}"


def block(found: Record) -> str:
    """What the page shows of a record: its table, and where the numbers come from."""
    columns, rows = found["finding"]["columns"], found["finding"]["rows"]
    parts = []
    if 0 < len(rows) <= LONGEST:
        head = [columns, ["---"] * len(columns)]
        parts.append("\n".join(map(line, [*head, *([cell(v) for v in row] for row in rows)])))
    elif not rows:
        parts.append(found["finding"]["text"])
    commit = " and ".join(c[:9] for c in found["git_commit"].split(" and "))
    what = [
        counted(len(found["worlds"]), "world"),
        " or ".join(map(str, found["seeds"])) + " seeds",
    ]
    parts.append(
        f"Run of {found['date']}, commit {commit}: {', '.join(what)}. "
        "All numbers: [record.json](record.json)."
    )
    return "\n\n".join(parts)


def counted(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{n} {noun}" + "s" * (n != 1)


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(text.replace('|', '/') for text in cells)} |"


def cell(value: Any) -> str:
    """A value as a page shows it: three significant digits."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def filled(page: str, content: str) -> str:
    """`page` with `content` between its markers."""
    if BEGIN not in page:
        before, after = page.split(f"{BEFORE}\n")
        page = f"{before}## The recorded run\n\n{BEGIN}{END}\n\n{BEFORE}\n{after}"
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{content}\n{END}{rest.split(END)[1]}"


def section(page: str) -> str | None:
    """What is between the markers of a page; None if it has none."""
    return page.split(BEGIN)[1].split(END)[0].strip() if BEGIN in page else None


def main(argv: Sequence[str]) -> int:
    """Record a study and redraw it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("name", help="a study of ours")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    args = parser.parse_args(argv)
    try:
        study, ds = load(args.name), open_results(args.name, args.results)
        made = (args.results / args.name / f"{args.name}.nc").stat().st_mtime
        found = record(study, ds, str(datetime.fromtimestamp(made, UTC).date()))
    except (ConfigError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    folder = ROOT / args.name
    page = folder / "README.md"
    (folder / "record.json").write_text(written(found) + "\n")
    page.write_text(filled(page.read_text(), block(found)))
    for (part, kind), content in pictures(study, ds, ("png",)).items():
        (folder / f"{part}.{kind}").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
