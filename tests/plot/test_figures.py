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
    found, over = finding(ds), ("seed", "block")
    p, at = ds.block_reappearance.mean(over), {"law": "isotropic", "rank": 16}
    assert found.values["rank"] == 16
    assert found.values["free"] == pytest.approx(p.sel(at).item())
    assert found.values["overlap"] == pytest.approx(ds.subspace_overlap.mean(over).sel(at).item())
    assert found.values["fixed"] == pytest.approx(p.sel(at | {"law": "sparse"}).item())
    assert found.table is not None
    assert found.table["coverage law"].values.reshape(2, 3) == pytest.approx(
        ds.coverage_prediction.mean(over).values
    )
    alone = finding(ds.isel(rank=[1], law=[0])).sentence
    assert "At rank 4" in alone
    assert "axes" not in alone


def test_the_largest_rank_of_all_laws_is_told(ds: xr.Dataset) -> None:
    ds.block_reappearance.loc[{"rank": 16, "law": "sparse"}] = np.nan
    assert finding(ds).values["rank"] == 4
    ds.block_reappearance[:] = np.nan
    assert finding(ds).sentence.startswith("Nothing was found")
