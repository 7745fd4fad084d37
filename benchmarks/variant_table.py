"""The table of variants in the study's page: python benchmarks/variant_table.py [OUT]

Reads what `python -m synthsae.study variant_sweep` left in the results folder OUT (results), keeps
its numbers in studies/variant_sweep/table.json and writes them into the study's
README.md. A test compares
the two, and the record with the study as it is.
"""

import json
import sys
from datetime import date
from pathlib import Path

from synthsae.studies.variant_sweep.matched import matched_level
from synthsae.studies.variant_sweep.table import summary, table

from synthsae import open_results

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "studies" / "variant_sweep" / "README.md"
RECORD = ROOT / "studies" / "variant_sweep" / "table.json"
BEGIN, END = "<!-- variants -->\n", "<!-- end of variants -->"


def record(out: str) -> dict:
    """The table's numbers and where they come from."""
    ds = open_results("variant_sweep", out)
    made = date.fromtimestamp((Path(out) / "variant_sweep" / "variant_sweep.nc").stat().st_mtime)
    origin = {name: ds.attrs[name] for name in ("hash", "git_commit", "device")}
    return {
        "date": str(made),
        **origin,
        "versions": json.loads(ds.attrs["versions"]),
        "config": json.loads(ds.attrs["config"]),
        "level": matched_level(ds),
        "rows": summary(ds),
    }


def section(text: str) -> str:
    """What is between the two markers of `text`."""
    return text.split(BEGIN)[1].split(END)[0].strip()


def filled(text: str, rows: str) -> str:
    """`text` with `rows` between its markers."""
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}{rows}\n{END}{after}"


if __name__ == "__main__":
    found = record(*sys.argv[1:] or ["results"])
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), table(found["rows"])))
