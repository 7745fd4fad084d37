"""The width sweep in small, and its measures against independent computations."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.width_sweep.figure import first_full_recovery

import synthsae
from synthsae import scores
from synthsae.config import override
from synthsae.scores import run as results
from synthsae.study import cli

TINY = {
    "world.d_model": "16",
    "world.n_isolated": "6",
    "world.n_blocks": "2",
    "world.rank": "3",
    "world.noise": "0.1",
    "sae.k": "2",
    "sae.n_latents": "8,40",
    "train.n_steps": "60",
    "train.batch_size": "64",
    "n_seeds": "3",
    "eval_samples": "500",
}


@pytest.mark.slow
def test_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["width_sweep", "--out", str(tmp_path), *sets]) == 0
    assert "the mean p_hat of all live latents goes from" in capsys.readouterr().out
    ds = synthsae.open_results("width_sweep", tmp_path)
    kinds = ("block_latents", "feature_latents", "surplus_latents", "dead_latents")
    total = sum(ds[name] for name in kinds)
    assert (total == ds.n_latents).all()
    assert (tmp_path / "width_sweep" / "width_sweep.png").stat().st_size > 1000


def test_latent_kinds() -> None:
    changes = TINY | {"sae.n_latents": "40"}
    run = results.run_cell(override(cli.load("width_sweep").base, changes))
    ds = scores.latent_kinds(run)
    for s, directions in enumerate(run.directions):
        count, energies, surplus = {"block": 0, "feature": 0}, [[], []], []
        for i in np.flatnonzero(run.live[s]):
            d = directions[i] / np.linalg.norm(directions[i])
            inside = [float(np.sum((d @ u) ** 2)) for u in run.world.bases]
            if max(inside) >= 0.5:
                count["block"] += 1
                energies[int(np.argmax(inside))].append(max(inside))
            elif max(d @ f for f in run.world.isolated) >= 0.7:
                count["feature"] += 1
            else:
                surplus.append(run.p_hat[s, i])
        assert ds.block_latents[s] == count["block"] > 0
        assert ds.feature_latents[s] == count["feature"] > 0
        assert ds.surplus_latents[s] == len(surplus) > 0
        assert np.isclose(ds.surplus_reappearance[s], np.mean(surplus))
        assert np.isclose(ds.feature_splitting[s], count["feature"] / 6)
        assert np.allclose(ds.member_energy[s], [np.mean(e) for e in energies])


def test_latent_kinds_without_blocks_or_features() -> None:
    for field in ("world.n_blocks", "world.n_isolated"):
        changes = TINY | {"sae.n_latents": "40", field: "0"}
        run = results.run_cell(override(cli.load("width_sweep").base, changes))
        ds = scores.latent_kinds(run)
        none = ds.block_latents if field == "world.n_blocks" else ds.feature_latents
        assert (none == 0).all()


def test_first_full_recovery_needs_features_and_subspaces() -> None:
    def at(isolated: list[float], overlap: list[float]) -> int:
        dims = ("n_latents", "seed")
        ds = xr.Dataset(
            dict(
                isolated_reappearance=(dims, np.transpose([isolated] * 2)),
                subspace_overlap=((*dims, "block"), np.transpose([[overlap] * 2])),
            )
        )
        return first_full_recovery(ds)

    assert at([1, 1, 1], [0.5, 0.96, 1]) == 1
    assert at([0.9, 0.9, 1], [0.5, 0.96, 1]) == 2
    assert at([0.9, 0.9, 0.9], [1, 1, 1]) == 0
