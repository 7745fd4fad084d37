"""What rank_sweep's figure and finding show are the Dataset's own numbers."""

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.rank_sweep.figure import stability_by_rank
from synthsae.studies.rank_sweep.study import finding


@pytest.fixture
def ds() -> xr.Dataset:
    """Made-up numbers, each variable in a range of its own."""
    rng, laws, ranks = np.random.default_rng(0), ["isotropic", "sparse"], [1, 4, 16]
    grid, each = ("law", "rank"), ("law", "rank", "seed", "block")
    made = xr.Dataset(
        {
            "block_reappearance": (each, 0.4 + 0.1 * rng.random((2, 3, 4, 2))),
            "coverage_prediction": (each, 0.5 + 0.1 * rng.random((2, 3, 4, 2))),
            "subspace_overlap": (each, 0.9 + 0.1 * rng.random((2, 3, 4, 2))),
            "block_reappearance_chance": (each[:3], 0.1 * rng.random((2, 3, 4))),
            "coverage_a_priori": (grid, [[0.61, 0.62, 0.63], [np.nan] * 3]),
            "implied_rank": (grid, [[1.0, 4.0, 16.0]] * 2),
        },
        {"law": laws, "rank": ranks},
    )
    made["block_reappearance_low"] = made.block_reappearance.mean(("seed", "block")) - 0.03
    made["block_reappearance_high"] = made.block_reappearance.mean(("seed", "block")) + 0.02
    made["implied_rank_low"], made["implied_rank_high"] = made.implied_rank, made.implied_rank * 2
    return made


def test_every_line_is_its_variable(ds: xr.Dataset) -> None:
    over = ("seed", "block")
    for ax, law in zip(stability_by_rank(ds).axes, ds.law.values, strict=False):
        part = ds.sel(law=law)
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        (bars,) = ax.containers
        assert np.allclose(
            drawn["subspace: overlap with planted"], part.subspace_overlap.mean(over)
        )
        assert np.allclose(drawn["chance"], part.block_reappearance_chance.mean("seed"))
        assert np.allclose(bars[0].get_ydata(), part.block_reappearance.mean(over))
        ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
        assert np.allclose(ends[:, 0], part.block_reappearance_low)
        assert np.allclose(ends[:, 1], part.block_reappearance_high)
        rotated = (
            "coverage law (Monte Carlo)" if law == "isotropic" else "null: codes rotated at random"
        )
        assert np.allclose(drawn[rotated], part.coverage_prediction.mean(over))
        assert ("coverage law before training" in drawn) == (law == "isotropic")
    assert np.allclose(
        {line.get_label(): line.get_ydata() for line in stability_by_rank(ds).axes[0].lines}[
            "coverage law before training"
        ],
        [0.61, 0.62, 0.63],
    )


def test_finding_has_the_numbers(ds: xr.Dataset) -> None:
    text, over = finding(ds), ("seed", "block")
    p = ds.block_reappearance.mean(over)
    gap = abs(p - ds.coverage_prediction.mean(over)).sel(law="isotropic").max().item()
    assert f"at most {gap:.3f} from the coverage law" in text
    assert text.count("from the coverage law") == 1
    for law in ("isotropic", "sparse"):
        ends = [p.sel(law=law, rank=r).item() for r in (1, 16)]
        assert f"nder the {law} law {ends[0]:.0%} of block latents" in text
        assert f"and {ends[1]:.0%} at rank 16" in text
        least = ds.subspace_overlap.mean(over).sel(law=law).min().item()
        assert f"{least:.3f} or more" in text
    one = finding(ds.isel(rank=[1]))
    assert one.count("in another seed at rank 4") == one.count("at rank") == 2


def test_missing_cells_are_said(ds: xr.Dataset) -> None:
    ds.block_reappearance.loc[{"rank": 16, "law": "sparse"}] = np.nan
    assert "(1 of 3 ranks left out)" in finding(ds)
    ds.block_reappearance[:] = np.nan
    assert finding(ds).startswith("Nothing was found")
