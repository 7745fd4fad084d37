"""The study of unequal variances in small: its scores, its finding and its figure."""

from pathlib import Path

import numpy as np
import pytest
from synthsae.studies.anisotropy.figure import gaps, stability_by_ratio
from synthsae.studies.anisotropy.study import finding

import synthsae
from synthsae.study import cli, load, plan

TINY = {
    "world.rank": "2",
    "world.spectrum": "1,10",
    "train.n_steps": "60,120",
    "world_seed": "0,1",
    "n_seeds": "3",
    "eval_samples": "1000",
}


def test_latents_follow_from_the_rank() -> None:
    cells = plan(load("anisotropy"), {}).cells
    assert {(c.config.world.rank, c.config.sae.n_latents) for c in cells} == {
        (2, 16),
        (4, 32),
        (8, 64),
    }
    set_by_hand = plan(load("anisotropy"), {"sae.n_latents": 20}).cells
    assert {c.config.sae.n_latents for c in set_by_hand} == {20}


@pytest.mark.slow
def test_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["anisotropy", "--out", str(tmp_path), *sets]) == 0
    assert "Nothing is planted along" in capsys.readouterr().out
    ds = synthsae.open_results("anisotropy", tmp_path)
    assert ds.axis_closeness.sel(spectrum=10).mean() > 0.9
    assert (ds.major_angle.sel(spectrum=10).mean() < 25).all()
    x = synthsae.theory.best_cross(10, 1).angle
    np.testing.assert_allclose(ds.major_angle_predicted.sel(spectrum=10), np.degrees(x))
    found = finding(ds)
    last = ds.isel(n_steps=-1).sel(theta=0.7)
    p = last.block_reappearance.mean(("world_seed", "seed", "block"))
    assert found.values["equal"] == pytest.approx(p.sel(spectrum=1).item())
    assert found.values["unequal"] == pytest.approx(p.sel(spectrum=10).item())
    gap = abs(p - last.reappearance_predicted.mean("world_seed")).max().item()
    assert found.values["gap"] == pytest.approx(gap)
    assert gaps(ds).sel(theta=0.7).max() == pytest.approx(gap)
    loose, strict, angle = stability_by_ratio(ds).axes
    np.testing.assert_allclose(
        loose.lines[0].get_ydata(), last.reappearance_predicted.mean("world_seed").squeeze()
    )
    drawn = [line.get_ydata() for line in angle.lines[-2:]]
    want = ds.major_angle.isel(n_steps=-1).sel(theta=0.7).mean(("seed", "block"))
    np.testing.assert_allclose(
        drawn, want.squeeze("rank").transpose("world_seed", "spectrum").values
    )
    assert "0.95" in strict.get_title(loc="left")
