"""The width sweep in small, and its measures against independent computations."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.width_sweep.figure import first_full_recovery
from synthsae.studies.width_sweep.headline import stability_by_class

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
    for name in ("width_sweep", "width_sweep_supplement"):
        assert (tmp_path / "width_sweep" / f"{name}.png").stat().st_size > 1000
    live, block, surplus = stability_by_class(ds).axes
    share = ds.surplus_latents / ds.live_latents
    for ax, values in (
        (live, ds.live_reappearance),
        (block, ds.block_reappearance.mean("block")),
        (surplus, share),
    ):
        (line,) = [bars[0] for bars in ax.containers if len(bars[0].get_xdata()) == 2]
        assert np.allclose(line.get_ydata(), values.mean("seed"), equal_nan=True)


def test_headline_says_how_p_hat_goes() -> None:
    """Two settings of three sizes, of which the second is the first that is large enough."""
    p = {"live_reappearance": [0.9, 0.6, 0.2], "block_reappearance": [0.1, 0.3, 0.5]}
    p |= {"isolated_reappearance": [0.5, 1, 1], "surplus_latents": [0, 5, 30]}
    p |= {"live_latents": [10, 20, 40], "subspace_overlap": [1, 1, 1]}
    dims = ("k", "n_latents", "seed")
    whole = {n: (dims, np.tile(np.reshape(v, (3, 1)), (2, 1, 3))) for n, v in p.items()}
    ds = xr.Dataset(whole, {"k": [2, 8], "n_latents": [16, 32, 64]})
    ds = ds.assign(
        {n: ds[n].expand_dims(block=1) for n in ("block_reappearance", "subspace_overlap")}
    )
    title = stability_by_class(ds).get_suptitle()
    assert title.startswith("Surplus latents make")
    assert "p_hat 0.60 to 0.20" in title
    assert "0.30 to 0.50" in title
    better = ds.assign(live_reappearance=1 - ds.live_reappearance)
    assert "Surplus" not in stability_by_class(better).get_suptitle()


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
