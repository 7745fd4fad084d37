"""The files of a report: a page for people, tables and JSON for other tools.

| file                    | for                                                                  |
|-------------------------|----------------------------------------------------------------------|
| `report.html`           | a browser; needs no network                                          |
| `latents.csv`           | spreadsheets: a row for each SAE and latent                          |
| `latents.parquet`       | the same for pandas, polars and R; written where `pyarrow` is        |
| `report.json`           | explorers and pipelines; `schema.json` describes it                  |
| `consensus.safetensors` | tools that steer or probe (`synthsae.save_consensus`)                |
"""

import io
import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synthsae import files
from synthsae.provenance import git_commit
from synthsae.reports.page import page
from synthsae.seeds.consensus import save_consensus

if TYPE_CHECKING:
    from synthsae.reports.reporting import Report

SCHEMA = 1
"""Version of the layout of `report.json`: it changes when a reader of an older one would fail."""


def write(report: "Report", folder: Path, command: str = "") -> list[Path]:
    """Write the files of `report` to `folder`, and return their paths.

    Args:
        report: the report.
        folder: made if it does not exist.
        command: how the report was made, for the page.

    Raises:
        ConfigError: the folder cannot be written.
    """
    files.make(folder, "folder")
    flat = report.latents.reset_index()
    parts = {
        folder / "report.html": page(report, command=command).encode(),
        folder / "latents.csv": _csv(flat).encode(),
        folder / "report.json": as_json(report).encode(),
    }
    if find_spec("pyarrow"):
        out = io.BytesIO()
        flat.to_parquet(out, index=False)
        parts[folder / "latents.parquet"] = out.getvalue()
    files.write_all(parts, "folder")
    save_consensus(report.consensus, folder / "consensus.safetensors")
    return [*parts, folder / "consensus.safetensors"]


def as_json(report: "Report") -> str:
    """The report as JSON, in the layout of `schema.json`; unknown numbers are null."""
    e = report.evidence
    chance = float(report.summary.chance.iloc[0])
    document = {
        "schema": SCHEMA,
        "commit": git_commit(),
        "level": e.level,
        "definitions": asdict(e.saes.definitions),
        "p_hat_of_random_directions": chance,
        "summary": _records(report.summary.reset_index()),
        "identities": [
            {
                "claimed": bool(row.claimed),
                "found": int(row.found),
                "q": float(row.q),
                "cosine": float(row.cosine),
                "latents": [int(j) for j in latents],
            }
            for (_, row), latents in zip(
                report.identities.iterrows(), e.lists.identity_latent.values, strict=True
            )
        ],
        "subspaces": [
            {
                "rank": int(row["rank"]),
                "found": int(row.found),
                "q": float(row.q),
                "members": [np.flatnonzero(on).tolist() for on in member],
            }
            for (_, row), member in zip(
                report.subspaces.iterrows(), e.lists.subspace_member.values, strict=True
            )
        ],
        "saes": [_sae(report, name) for name in e.saes.seeds],
    }
    return json.dumps(document, allow_nan=False)


def _sae(report: "Report", name: str) -> dict[str, Any]:
    """One SAE's latents as columns; the position in a column is the latent's row."""
    rows = report.latents.loc[name]
    columns: dict[str, Any] = {"name": str(name), "verdict": [str(v) for v in rows.verdict]}
    for column in (
        "p_hat",
        "p_hat_low",
        "p_hat_high",
        "rank",
        "deviation",
        "firing_rate",
        "energy",
    ):
        columns[column] = [_number(v) for v in rows[column]]
    for column in ("identity", "subspace", "doubles"):
        columns[column] = rows[column].tolist()
    columns["counterparts"] = [v.tolist() for v in rows.counterparts]
    columns["cosines"] = [[_number(c) for c in v] for v in rows.cosines]
    return columns


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {k: v if isinstance(v, str) else _number(v) for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def _number(value: float) -> float | None:
    """A number for JSON, which has no NaN; six digits."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _csv(flat: pd.DataFrame) -> str:
    """The table with lists as texts of numbers between spaces."""
    lists = {
        "counterparts": [" ".join(map(str, v)) for v in flat.counterparts],
        "cosines": [" ".join("" if np.isnan(c) else f"{c:.4f}" for c in v) for v in flat.cosines],
    }
    text: str = flat.assign(**lists).to_csv(index=False, float_format="%.6g")
    return text
