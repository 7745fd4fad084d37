"""theta_sweep: its laws, and that its figures and finding show the Dataset's own numbers."""

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.theta_sweep.figure import every_rank, stability_by_theta
from synthsae.studies.theta_sweep.scores import laws_before_training
from synthsae.studies.theta_sweep.study import finding

from synthsae.config import Config
from synthsae.evaluation import Evaluation
from synthsae.geometry import haar
from synthsae.metrics import reappearance
from synthsae.scores.run import Run
from synthsae.stats import mean_interval
from synthsae.world import World, WorldConfig


def test_the_exact_law_is_that_of_frames_turned_at_random() -> None:
    config = Config(world=WorldConfig(d_model=24, n_isolated=0, n_blocks=1, rank=6))
    world = World.plant(config.world, seed=0)
    evaluation = Evaluation(np.zeros((2, 4, 24)), np.zeros((2, 4)), np.ones(2))
    got = laws_before_training(Run(config, world, (0, 1), {}, evaluation))
    rng = np.random.default_rng(0)
    frames = np.array([haar(6, rng) for _ in range(200)])
    p = reappearance.reappearance(np.concatenate([frames, -frames], axis=1), 0.7).mean()
    assert float(got.law_exact) == pytest.approx(p, abs=0.01)
    assert float(got.law_disjoint) >= float(got.law_exact)


@pytest.fixture
def ds() -> xr.Dataset:
    """Four ranks, of which the third is farthest from the law; worlds differ by .02."""
    axes = {"rank": [3, 4, 6, 8], "theta": [0.5, 0.7, 0.9]}
    law = xr.DataArray(np.linspace(0.2, 0.8, 12).reshape(4, 3), axes, tuple(axes))
    law = law * xr.DataArray(np.ones(2), dims="world_seed")
    off = xr.DataArray([0.01, 0.02, 0.09, 0.03], {"rank": axes["rank"]}, ("rank",))
    worlds = xr.DataArray([-0.01, 0.01], dims="world_seed")
    inside = xr.DataArray(np.ones((3, 2)), dims=("seed", "block"))
    return xr.Dataset(
        {
            "block_reappearance": (law + off + worlds) * inside,
            "law_exact": law,
            "law_disjoint": law + 0.15,
        }
    )


def test_the_headline_has_the_ends_and_the_worst_rank(ds: xr.Dataset) -> None:
    figure = stability_by_theta(ds)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["rank 3", "rank 6", "rank 8"]
    assert "within 0.09 of a law" in figure.get_suptitle()
    panels = every_rank(ds).axes
    assert [ax.get_title(loc="left") for ax in panels[:4]] == [f"rank {r}" for r in (3, 4, 6, 8)]
    for ax, rank in zip(panels, ds["rank"].values, strict=False):
        part = ds.sel(rank=rank)
        (bars,) = ax.containers
        mean = part.block_reappearance.mean(("world_seed", "seed", "block"))
        assert np.allclose(bars[0].get_ydata(), mean)
        ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
        want = [mean_interval([v - 0.01, v + 0.01]) for v in mean.values]
        assert np.allclose(ends, [(max(i.low, 0), min(i.high, 1)) for i in want])
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert np.allclose(lines["law: 2R orthogonal ± latents"], part.law_exact.isel(world_seed=0))
        dashed = lines["as if caps did not overlap"]
        assert np.allclose(dashed, part.law_disjoint.isel(world_seed=0))


def test_the_finding_has_the_largest_gaps(ds: xr.Dataset) -> None:
    found = finding(ds)
    assert found.values == pytest.approx({"exact": 0.09, "disjoint": 0.14})
    assert found.table is not None
    assert found.table["gap to the exact law"].tolist() == pytest.approx([0.01, 0.02, 0.09, 0.03])
