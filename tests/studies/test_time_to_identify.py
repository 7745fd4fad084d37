"""time_to_identify: its clock and half-way times by hand, its words and lines, and it in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.time_to_identify.figure import identification_over_time
from synthsae.studies.time_to_identify.finding import finding
from synthsae.studies.time_to_identify.scores import half_time, learning_rate_times_steps
from synthsae.studies.time_to_identify.times import against_prediction, curves, half_times

import synthsae
from synthsae.config import Config, override
from synthsae.scores.axes import chance_axis_cosine
from synthsae.study import cli

TINY = {
    "world.d_model": "12",
    "world.n_blocks": "2",
    "world.rank": "3",
    "sae.n_latents": "12",
    "sae.k": "2",
    "world.beta": "1.5,2",
    "train.batch_size": "32",
    "train.lr": "0.01",
    "train.n_steps": "10,20",
    "n_seeds": "3",
    "world_seed": "0",
    "eval_samples": "500",
}
CHANCE = 0.6


def made() -> xr.Dataset:
    """At beta 1.5 the axes are half-way (.8) at time 4, twice the predicted one; at 2 never."""
    truth = np.array([[0.6, 0.7, 0.9, 1.0], [0.6, 0.6, 0.61, 0.6]])[:, None, None]
    p = np.array([[0.3, 0.4, 0.8, 1.0], [0.4, 0.5, 0.5, 0.46]])[:, None, None]
    dims = ("beta", "batch_size", "lr", "n_steps")
    time = np.broadcast_to([1.0, 2.0, 8.0, 16.0], (2, 1, 1, 4))
    half = np.broadcast_to(np.array([2.0, np.nan])[:, None, None, None], time.shape)

    def per_seed(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        return (*dims, "seed", "block"), np.tile(values[..., None, None], (3, 2))

    return xr.Dataset(
        {
            "axis_cosine": per_seed(truth),
            "block_reappearance": per_seed(p),
            "coverage_prediction": per_seed(np.full_like(p, 0.47)),
            "axis_cosine_chance": (dims, np.full(time.shape, CHANCE)),
            "learning": (dims, time),
            "predicted_axis_cosine": (dims, truth),
            "predicted_reappearance": (dims, p),
            "predicted_half_time": (dims, half),
        },
        {"beta": [1.5, 2.0], "batch_size": [128], "lr": [0.01], "n_steps": [100, 200, 800, 1600]},
    )


def test_half_way_is_interpolated_in_the_logarithm_of_time() -> None:
    ((label, means),) = curves(made().isel(n_steps=[2, 0, 3, 1]))
    assert label == ""
    found = half_times(means)
    assert found.sel(beta=1.5).item() == pytest.approx(4)
    assert np.isnan(found.sel(beta=2.0).item())
    assert against_prediction(means).sel(beta=1.5).item() == pytest.approx(2)


def test_no_half_way_time_where_the_first_budget_is_beyond() -> None:
    ((_, means),) = curves(made().isel(n_steps=[2, 3]))
    assert np.isnan(half_times(means)).all()


def test_predicted_half_time_is_between_the_looks() -> None:
    middle = (chance_axis_cosine(4) + 1) / 2
    times, truth = np.array([0.0, 1.0, 2.0]), np.array([0.78, middle - 0.02, middle + 0.02])
    assert half_time(times, truth, 4) == pytest.approx(1.5)
    assert np.isnan(half_time(times, truth - 0.1, 4))


def test_the_clock_is_the_sum_of_the_schedule() -> None:
    c = override(Config(), {"train.n_steps": 400, "train.lr": 0.01})
    assert learning_rate_times_steps(c) == pytest.approx(0.875 * 4, rel=0.01)  # less warm-up, decay


def test_the_words_have_the_numbers() -> None:
    found = finding(made())
    assert found.values == pytest.approx({"low": 2, "high": 2, "p": 0.46, "law": 0.47}, abs=0.01)
    assert "No setting gets half-way" in finding(made().isel(n_steps=[0, 1])).sentence
    table = finding(made().expand_dims(rank=[6])).table
    assert table is not None
    assert (table.setting == "rank = 6").all()


def test_the_figure_has_the_numbers() -> None:
    raw, scaled, stable = identification_over_time(made()).axes
    np.testing.assert_allclose(raw.lines[0].get_ydata(), [0.6, 0.7, 0.9, 1.0])
    np.testing.assert_allclose(scaled.lines[0].get_xdata(), np.array([1, 2, 8, 16]) / 2)
    np.testing.assert_allclose(stable.lines[1].get_ydata(), [0.4, 0.5, 0.5, 0.46])
    law = next(line for line in stable.lines if line.get_linestyle() == "--")
    assert law.get_ydata()[0] == pytest.approx(0.47)


@pytest.mark.slow
def test_whole_study(tmp_path: Path) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["time_to_identify", "--out", str(tmp_path), *sets]) == 0
    ds = synthsae.open_results("time_to_identify", tmp_path)
    assert ds.axis_cosine.sizes["n_steps"] == 2
    assert (ds.predicted_half_time.sel(beta=1.5) > 0).all()
    assert (tmp_path / "time_to_identify" / "time_to_identify.png").stat().st_size > 1000
