"""The page's table of variants is what the recorded study says, and the record is of this study.

After a new default run: python benchmarks/variant_table.py
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.variant_sweep.figure import COMPARED, STABLE
from synthsae.studies.variant_sweep.study import study
from synthsae.studies.variant_sweep.table import HEADER, summary, table

from synthsae.stats import row_interval
from synthsae.study import plan

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import variant_table as script

RECORD = json.loads(script.RECORD.read_text())


def within(old: Any, new: Any) -> bool:
    """Whether every value of `old` is in `new`, which may have fields that came later."""
    if isinstance(old, dict):
        return all(key in new and within(v, new[key]) for key, v in old.items())
    return json.loads(json.dumps(new)) == old


def made() -> xr.Dataset:
    """Two architectures whose EVs meet at .5, halfway between k = 1 and 2; all scores by seed."""
    rng = np.random.default_rng(0)
    ev = xr.DataArray(
        [[[0.4] * 4, [0.6] * 4], [[0.45] * 4, [0.55] * 4]],
        {"arch": ["topk", "kron"], "k": [1, 2]},
        ("arch", "k", "seed"),
    )
    each = {name: ev * 0 + rng.random(ev.shape) for name in COMPARED}
    for name in ("block_reappearance", "coverage_prediction", "subspace_overlap"):
        each[name] = each[name].expand_dims(block=2, axis=-1)
    each["coverage_prediction_sd"] = each["coverage_prediction_sd"].mean("seed")
    return xr.Dataset(each | {"explained_variance": ev})


def test_the_page_has_the_recorded_numbers() -> None:
    assert script.section(script.PAGE.read_text()) == table(RECORD["rows"])


def test_the_sentence_below_the_table_is_true() -> None:
    for row in RECORD["rows"].values():
        assert row["high"] < STABLE
        assert row["overlap"] >= STABLE


def test_the_record_is_of_the_default_study() -> None:
    grid = plan(study, {})
    now = {"base": grid.cells[0].config.record(), "axes": grid.axes}
    assert within(RECORD["config"], now)
    assert list(RECORD["rows"]) == grid.axes["arch"]
    assert RECORD.keys() >= {"date", "hash", "git_commit", "versions", "device", "level"}


def test_a_row_is_the_mean_at_the_matched_ev_and_costs_are_relative_to_topk() -> None:
    ds = made()
    got = summary(ds)["kron"]
    middle = ds.mean("k").sel(arch="kron")  # EV is linear between two k, and .5 is halfway
    want = row_interval(middle.block_reappearance.mean("block").values)
    assert [got["p_hat"], got["low"], got["high"]] == pytest.approx(np.array(want), abs=5e-5)
    for column, name in (
        ("law", "coverage_prediction"),
        ("isolated", "isolated_reappearance"),
        ("overlap", "subspace_overlap"),
        ("mcc", "feature_mcc"),
        ("dead", "dead_fraction"),
    ):
        assert got[column] == pytest.approx(float(middle[name].mean()), abs=5e-5)
    cost = ds.training_multiply_adds.mean(("k", "seed"))
    assert got["multiply_adds"] == pytest.approx(float(cost[1] / cost[0]), abs=5e-5)


def test_a_line_by_hand_and_one_that_is_out_of_range() -> None:
    row = {"p_hat": 0.456, "low": 0.321, "high": 0.6, "law": 0.4, "isolated": 1.0}
    row |= {"overlap": 0.9876, "mcc": 0.9991, "dead": 0.05, "multiply_adds": 0.614}
    nothing = dict.fromkeys(row, float("nan"))
    lines = table({"kron": row, "mine": nothing}).splitlines()
    assert lines[0] == f"| {' | '.join(HEADER)} |"
    assert lines[2] == "| KronSAE | 0.46 [0.32, 0.60] | 0.40 | 1.00 | 0.988 | 0.999 | 5% | 0.61 |"
    assert lines[3] == "| mine | – | – | – | – | – | – | – |"
