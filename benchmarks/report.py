"""RESULTS.md and its figures, of the records in benchmarks/results: python benchmarks/report.py"""

import json
import os
import platform
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import plots
import texts
from ratios import Row, met, rows

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Record = Mapping[str, Any]

RANK_COLUMNS = ("date", "commit", "machine", "wall s", "in cells", "peak MiB", "gap", "accepted")
METRICS_COLUMNS = (
    *("M", "products s", "p_hat s", "ratio", "p_hat holds MiB", "Hungarian s", "peak MiB"),
)
SPLICED_COLUMNS = ("model", "layer", "before s", "now s", "now / before", "rounds")


def markdown(columns: tuple[str, ...], body: list[tuple[Any, ...]]) -> str:
    """A table."""
    lines = [columns, ("---",) * len(columns), *body]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def origin(record: Record) -> str:
    """Where and when a record was made."""
    return "{date}, commit {commit}, {machine}, Python {python}, torch {torch}".format(**record)


def table(record: Record) -> str:
    """The table of one group: rates, ratios within rounds, aims, dead shares, versions."""
    columns = ("case", "library", "1000 seed-samples/s", "synthsae is faster by", "aim", "dead")
    return markdown(columns, [cells(row) for row in rows(record)])


def cells(row: Row) -> tuple[str, ...]:
    """A row of that table."""
    version = f" {row.version}" if row.library not in ("synthsae", "dense autograd") else ""
    reached = row.aim is not None and row.ratio.median >= row.aim
    aim = "" if row.aim is None else f"{row.aim:g}x: {'yes' if reached else 'no'}"
    ratio = "" if row.library == "synthsae" else str(row.ratio)
    dead = "" if row.dead is None else f"{row.dead:.1%}"
    return row.case, row.library + version, str(row.rate), ratio, aim, dead


def engine(records: list[Record]) -> Iterator[str]:
    """The sections of the training engine."""
    for record in records:
        group, device = record["group"], record["device"]
        n = len({a["round"] for a in record["answers"]})
        yield f"## {texts.TITLES[group]}{' (GPU)' if device == 'cuda' else ''}"
        yield f"{origin(record)}; median [smallest, largest] of {n} rounds."
        yield texts.TEXTS[group]
        if group == "scaling":
            yield f"![Cost of a sample against M, D, k, S and batch](scaling-{device}.png)"
            continue
        if group == "sizes":
            yield texts.STEPS
            yield markdown(texts.STEP_COLUMNS, texts.STEP_ROWS)
            yield texts.SETTINGS
            yield f"![How many times as fast as each library](peers-{device}.png)"
        if any(plan["aims"] for plan in record["cases"].values()):
            yield "Aims reached: {} of {}.".format(*met(record))
        yield table(record)


def rank_sweep(record: Record) -> Iterator[str]:
    """The section of the whole `rank_sweep`."""
    yield "## `rank_sweep`, whole"
    yield texts.RANK
    yield markdown(RANK_COLUMNS, [tuple(row[c] for c in RANK_COLUMNS) for row in record["rows"]])
    if shares := record.get("shares"):
        names = tuple(shares[0])
        yield "Shares of the wall time, imports and start of Python among *other*:"
        yield markdown(names, [tuple(row.values()) for row in shares])


def metrics(record: Record) -> Iterator[str]:
    """The section of the large metrics."""
    yield "## Metrics at dictionary sizes"
    yield texts.METRICS
    yield "{date}, {machine}.".format(**record)
    yield markdown(METRICS_COLUMNS, [tuple(row) for row in record["rows"]])


def spliced(record: Record) -> Iterator[str]:
    """The section of the spliced loss."""
    yield "## The spliced loss"
    yield texts.SPLICED
    yield "{date}, {machine}, one thread.".format(**record)
    yield markdown(SPLICED_COLUMNS, [_spliced_row(row) for row in record["rows"]])


def _spliced_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = zip(*row["seconds"], strict=True)
    ratios = [a / b for b, a in row["seconds"]]
    times = (f"{statistics.median(before):.1f}", f"{statistics.median(after):.1f}")
    ratio = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
    site = f"{row['layer']} of {row['layers']}"
    return row["model"], site, *times, ratio, str(len(ratios))


def load(folder: Path, name: str) -> Record | None:
    """A record, or None where it has not been made."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def save(name: str, record: Record, folder: Path = RESULTS) -> None:
    """Save a record, and write the report anew."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.json").write_text(json.dumps(record) + "\n")
    write(folder)


def machine() -> str:
    """This machine in words: the processor and how many cores it has."""
    model, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        named = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = named[0].split(":")[1].strip() if named else model
    return f"{model}, {os.cpu_count()} cores"


def write(folder: Path = RESULTS) -> None:
    """Write RESULTS.md and the figures: beside `folder`."""
    timed = [load(folder, f"{device}-{g}") for device in ("cpu", "cuda") for g in texts.TITLES]
    records = [record for record in timed if record]
    parts = ["# What was measured", texts.INTRODUCTION, *engine(records)]
    parts.append(texts.GPU)
    if record := load(folder, "rank_sweep"):
        parts += rank_sweep(record)
    if record := load(folder, "metrics"):
        parts += metrics(record)
    if record := load(folder, "spliced"):
        parts += spliced(record)
    home = folder.parent
    (home / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
    for device in ("cpu", "cuda"):
        peers = [r for r in records if r["device"] == device and r["group"] != "scaling"]
        if peers:
            plots.peers(peers).savefig(home / f"peers-{device}.png", dpi=150)
        for record in records:
            if (record["device"], record["group"]) == (device, "scaling"):
                plots.scaling(record).savefig(home / f"scaling-{device}.png", dpi=150)


if __name__ == "__main__":
    write()
