"""kron_correlation: its measures against independent computations, and the whole of it in small."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from synthsae.studies.kron_correlation.figure import (
    HEADLINE,
    all_matrices,
    correlation_by_arch,
)
from synthsae.studies.kron_correlation.scores import MATRICES, correlation_recovery
from synthsae.studies.kron_correlation.study import finding

import synthsae
from synthsae import scores
from synthsae.config import override
from synthsae.scores.run import Run, run_cell
from synthsae.study import cli

TINY = {
    "world.d_model": "12",
    "world.n_isolated": "16",
    "world.correlation_groups": "4",
    "world.isolated_p": "0.15",
    "sae.n_latents": "16",
    "sae.k": "3",
    "train.n_steps": "40",
    "train.batch_size": "64",
    "n_seeds": "3",
    "eval_samples": "5000",
}


@pytest.fixture(scope="module", params=["topk", "kron"])
def run(request) -> Run:
    changes = TINY | {"sae.arch": request.param, "world.correlation": "0.8"}
    return run_cell(override(cli.load("kron_correlation").base, changes))


def test_rv_by_hand(run: Run) -> None:
    """NumPy's covariance, SciPy's assignment and traces, of samples that two batches make up."""
    from scipy.optimize import linear_sum_assignment

    got = correlation_recovery(run, draws=20)
    x = torch.cat([run.world.batch(t, 4096, seed=0, stream="eval") for t in range(2)])[:5000]
    a = np.concatenate(
        [run.world.magnitudes(t, 4096, seed=0, stream="eval").numpy() for t in range(2)]
    )[:5000]
    codes = run.stack.encode(x)
    for s in range(3):
        z = np.zeros((5000, 16))
        np.put_along_axis(z, codes.indices[s].numpy(), codes.values[s].numpy(), axis=1)
        d = run.directions[s]
        rows, cols = linear_sum_assignment(-(d @ run.world.features.T))
        z, d = z[:, rows][:, np.argsort(cols)], d[rows][np.argsort(cols)]
        for name, b in (("covariance", np.cov(z.T)), ("decoder", d @ d.T)):
            t = np.cov(a.T)
            want = np.trace(t @ b) / np.sqrt(np.trace(t @ t) * np.trace(b @ b))
            assert got.rv.sel(matrix=name)[s] == pytest.approx(want, rel=1e-4)
            t, b = t - np.diag(np.diag(t)), b - np.diag(np.diag(b))
            want = np.trace(t @ b) / np.sqrt(np.trace(t @ t) * np.trace(b @ b))
            off = got.rv.sel(matrix=f"{name} off diagonal")[s]
            assert off == pytest.approx(want, rel=1e-3, abs=1e-6)


def test_the_truth_itself_has_rv_one_and_beats_its_nulls(run: Run) -> None:
    """Latents that are the features, with an encoder that inverts them where they are few."""
    changes = {"world.n_isolated": 8, "sae.n_latents": 8, "sae.k": 8, "sae.arch": "topk"}
    exact = run_cell(override(run.config, changes))
    f = torch.tensor(exact.world.features, dtype=torch.float32)
    params = exact.stack.params
    params["w_dec"][:], params["w_enc"][:] = f, f  # 8 orthonormal features in R^12
    params["b_enc"][:], params["b_dec"][:] = 0, 0
    exact.directions[:] = exact.world.features
    got = correlation_recovery(exact, draws=50).mean("seed")
    for name in ("covariance", "covariance off diagonal"):
        assert got.rv.sel(matrix=name) == pytest.approx(1, abs=1e-5)
        assert got.rv_null.sel(matrix=name) < 0.95
    off = got.sel(matrix="covariance off diagonal")
    assert off.rv_null < 0.4
    assert off.rv_null < off.rv_null_high < 1
    assert off.rv_start < 0.9
    assert got.rv.sel(matrix="decoder off diagonal").isnull()  # orthonormal: nothing is left


def test_size(run: Run) -> None:
    got = scores.training_cost(run)
    w_dec, bias, h, m, n = 16 * 12, 12, 1, 4, 4
    if run.config.sae.arch == "kron":
        assert got.parameters == w_dec + bias + h * (m + n) * 13
        assert got.encoder_multiply_adds == 12 * h * (m + n) + m * n * h
    else:
        assert got.parameters == w_dec + bias + 16 * 13
        assert got.encoder_multiply_adds == 12 * 16


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    changes = TINY | {"world.correlation": "0.1,0.8"}
    sets = [x for f, v in changes.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["kron_correlation", "--out", str(tmp_path), *sets]) == 0
    ds = synthsae.open_results("kron_correlation", tmp_path)
    assert ds.rv.dims == ("arch", "correlation", "seed", "matrix")
    assert list(ds.matrix.values) == list(MATRICES)
    assert np.isfinite(ds.rv).all()
    assert "At the largest correlation the RV" in capsys.readouterr().out
    assert (tmp_path / "kron_correlation" / "kron_correlation.png").stat().st_size > 1000


@pytest.fixture
def ds() -> xr.Dataset:
    """Made-up numbers: TopK about .15 and KronSAE about .5 of every matrix."""
    rng, dims = np.random.default_rng(0), ("arch", "correlation", "seed", "matrix")
    level = np.array([0.157, 0.514])[:, None, None, None]
    noise = 0.02 * rng.standard_normal((2, 2, 5, 4))
    noise -= noise.mean(axis=2, keepdims=True)
    one = np.ones((2, 2))
    return xr.Dataset(
        {
            "rv": (dims, level + noise),
            "rv_start": (dims, 0.1 * rng.random((2, 2, 5, 4))),
            "rv_null": (dims, 0.1 * rng.random((2, 2, 5, 4))),
            "rv_null_high": (dims, 0.1 + 0.1 * rng.random((2, 2, 5, 4))),
            "feature_mcc": (dims[:3], 0.6 + 0.1 * rng.random((2, 2, 5))),
            "explained_variance": (dims[:3], 0.7 + 0.1 * rng.random((2, 2, 5))),
            "feature_mcc_chance": (dims[:2], 0.3 * one),
            "parameters": (dims[:2], one * [[200], [100]]),
            "encoder_multiply_adds": (dims[:2], one * [[80], [20]]),
        },
        {"arch": ["topk", "kron"], "correlation": [0.1, 0.9], "matrix": list(MATRICES)},
    )


def test_finding_may_say_yes_and_no(ds: xr.Dataset) -> None:
    found = finding(ds)
    assert "reproduced by covariance, covariance off diagonal, decoder" in found.sentence
    assert found.table is not None
    assert found.table["KronSAE surely higher"].all()
    rv = ds.rv.isel(correlation=-1, matrix=0).mean("seed")
    assert found.values["topk"] == pytest.approx(rv.sel(arch="topk").item())
    assert found.values["kron"] == pytest.approx(rv.sel(arch="kron").item())
    found = finding(ds.assign(rv=ds.rv.where(ds.arch != "kron", 0.157)))
    assert "reproduced by none" in found.sentence
    assert found.table is not None
    assert not found.table["KronSAE surely higher"].any()
    assert "both are in" in finding(ds.isel(arch=[0])).sentence
    spread = xr.DataArray([-0.5, 0.5], dims="world_seed")  # intervals that hold any value
    swapped = ds.rv.isel(arch=[1, 0]).assign_coords(arch=ds.arch)
    assert "reproduced by none" in finding(ds.assign(rv=swapped + spread)).sentence


def test_panels_show_their_matrix(ds: xr.Dataset) -> None:
    headline, supplement = correlation_by_arch(ds), all_matrices(ds)
    others = [m for m in MATRICES if m != HEADLINE]
    panels = {HEADLINE: headline.axes[0]} | dict(zip(others, supplement.axes[:3], strict=True))
    for matrix, ax in panels.items():
        part = ds.sel(matrix=matrix)
        for bars, arch in zip(ax.containers, ("topk", "kron"), strict=True):
            assert np.allclose(bars[0].get_ydata(), part.rv.sel(arch=arch).mean("seed"))
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        for arch, name in (("topk", "TopK"), ("kron", "KronSAE")):
            mean = part.sel(arch=arch).mean("seed")
            assert np.allclose(drawn[f"{name} before training"], mean.rv_start)
            assert np.allclose(drawn[f"{name}, matching permuted (97.5%)"], mean.rv_null_high)
    for ax, name in ((headline.axes[1], "feature_mcc"), (supplement.axes[3], "explained_variance")):
        for bars, arch in zip(ax.containers, ("topk", "kron"), strict=True):
            assert np.allclose(bars[0].get_ydata(), ds[name].sel(arch=arch).mean("seed"))


def test_headline_names_the_leader(ds: xr.Dataset) -> None:
    end = ds.rv.sel(matrix=HEADLINE, correlation=0.9).mean("seed")
    topk, kron = (f"{end.sel(arch=a).item():.2f}" for a in ("topk", "kron"))
    title = correlation_by_arch(ds).get_suptitle()
    assert title.startswith("KronSAE follows")
    assert title.endswith(f"RV {kron} against {topk}")
    swapped = ds.assign(rv=ds.rv[::-1].assign_coords(arch=ds.arch))
    assert correlation_by_arch(swapped).get_suptitle().startswith("TopK follows")
    assert f"is TopK {topk}" in correlation_by_arch(ds.isel(arch=[0])).get_suptitle()
