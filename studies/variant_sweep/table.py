"""The variants as a table: each architecture at the matched EV, in numbers and in Markdown."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from synthsae.studies.variant_sweep.figure import COMPARED
from synthsae.studies.variant_sweep.matched import at_matched_ev

from synthsae.plot.architectures import label
from synthsae.plot.phrases import interval, number
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval

HEADER = (
    "architecture",
    "p_hat inside blocks",
    "law",
    "p_hat of isolated features",
    "overlap",
    "MCC",
    "dead",
    "multiply-adds",
)


def summary(ds: xr.Dataset) -> dict[str, dict[str, float]]:
    """Means over seeds and blocks at the matched EV, by architecture; NaN where it is not reached.

    `low` and `high` are the 95% interval of p_hat inside blocks (`stats.row_interval`),
    `multiply_adds` those of a training sample over TopK's.
    """
    matched = at_matched_ev(ds, COMPARED)
    means = {
        name: matched[name].mean([d for d in matched[name].dims if d != "arch"])
        for name in COMPARED
    }
    p = interval_of(matched.block_reappearance)
    columns = {
        "p_hat": p.estimate,
        "low": p.low,
        "high": p.high,
        "law": means["coverage_prediction"].values,
        "isolated": means["isolated_reappearance"].values,
        "overlap": means["subspace_overlap"].values,
        "mcc": means["feature_mcc"].values,
        "dead": means["dead_fraction"].values,
        "multiply_adds": _over_topk(means["training_multiply_adds"]).values,
    }
    return {
        str(arch): {name: round(float(values[i]), 4) for name, values in columns.items()}
        for i, arch in enumerate(matched.arch.values)
    }


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A `summary` in Markdown, one line for each architecture."""
    lines = [_line(HEADER), _line(["---"] * len(HEADER))]
    return "\n".join([*lines, *(_line([label(arch), *_cells(r)]) for arch, r in rows.items())])


def _over_topk(cost: xr.DataArray) -> xr.DataArray:
    return cost / cost.sel(arch="topk")


def _cells(r: Mapping[str, float]) -> list[str]:
    """The numbers of one architecture as text; a dash for each where it does not reach the EV."""
    if not np.isfinite(r["p_hat"]):
        return ["–"] * (len(HEADER) - 1)
    return [
        interval(Interval(*np.array([r["p_hat"], r["low"], r["high"]]))),
        number(r["law"]),
        number(r["isolated"]),
        number(r["overlap"], ".3f"),
        number(r["mcc"], ".3f"),
        number(r["dead"], ".0%"),
        number(r["multiply_adds"]),
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
