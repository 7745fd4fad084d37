"""k_sweep: what samples need by enumeration and by draws, its words and lines, and it in small."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.k_sweep.figure import last_stable, stability_by_k
from synthsae.studies.k_sweep.scores import need, planted_sparsity
from synthsae.studies.k_sweep.study import finding

import synthsae
from synthsae.config import Config, override
from synthsae.scores.needs import lacking
from synthsae.scores.run import run_cell
from synthsae.study import cli
from synthsae.world import World, WorldConfig

TINY = {
    "world.d_model": "12",
    "world.n_isolated": "4",
    "world.n_blocks": "1",
    "world.rank": "2",
    "sae.arch": "topk,hierarchical_topk",
    "sae.k": "2,6",
    "train.n_steps": "30",
    "train.batch_size": "64",
    "n_seeds": "3",
    "eval_samples": "500",
}


def test_need_is_what_enumeration_gives() -> None:
    c = WorldConfig(
        n_isolated=3, isolated_p=0.2, zipf=0.5, n_blocks=2, rank=3, block_p=0.3, n_circles=1
    )
    gates = [(p, 1) for p in c.firing_probabilities()] + [(0.3, 3)] * 2 + [(c.circle_p, 2)]
    expected = np.zeros(3 + 2 * 3 + 2 + 1)
    for fires in product((0, 1), repeat=len(gates)):
        chance = np.prod([p if f else 1 - p for f, (p, _) in zip(fires, gates, strict=True)])
        expected[sum(n for f, (_, n) in zip(fires, gates, strict=True) if f)] += chance
    np.testing.assert_allclose(need(c), expected, atol=1e-12)


def test_need_of_sparse_atoms_is_what_worlds_draw() -> None:
    c = WorldConfig(d_model=16, n_isolated=5, n_blocks=2, rank=3, n_atoms=4, law="sparse")
    fired = (World.plant(c, seed=0).magnitudes(0, 40_000, seed=0) > 0).sum(1).numpy()
    p = need(c)
    seen = np.bincount(fired, minlength=len(p)) / len(fired)
    assert np.abs(seen - p).max() < 5 * 0.5 / np.sqrt(len(fired))  # five standard errors


def test_the_measure_gives_mean_and_quantile_and_knows_when_not_to() -> None:
    base = override(Config(), {f: v for f, v in TINY.items() if "sae" not in f} | {"sae.k": 2})
    ds = planted_sparsity(run_cell(base))
    p = need(base.world)
    assert float(ds.planted_l0) == pytest.approx(4 * 0.05 + 2 * 0.15)
    high = int(ds.planted_l0_high)
    assert p[: high + 1].sum() >= 0.99 > p[:high].sum()
    for change in ({"world.n_trees": 1, "world.tree_depth": 1, "world.tree_branching": 2},
                   {"world.correlation": 0.1}):  # fmt: skip
        assert lacking(planted_sparsity, override(base, change)) == ["independent gates"]


def made() -> xr.Dataset:
    p = {"topk": [1.0, 0.97, 0.4], "batchtopk": [0.9, 1.0, 0.1], "hierarchical_topk": [1.0] * 3}
    grid = np.array(list(p.values()))[:, :, None] * np.ones(4)
    blocks = np.full((3, 3, 4, 2), 0.5)
    dims = ("arch", "k", "seed")
    return xr.Dataset(
        {
            "isolated_reappearance": (dims, grid),
            "explained_variance": (
                dims,
                np.array([0.8, 0.95, 0.9991])[:, None] * np.ones((3, 3, 4)),
            ),
            "block_reappearance": ((*dims, "block"), blocks),
            "coverage_prediction": ((*dims, "block"), blocks + 0.1),
            "planted_l0": (("arch", "k"), np.full((3, 3), 4.0)),
            "planted_l0_high": (("arch", "k"), np.full((3, 3), 13.0)),
        },
        {"arch": list(p), "k": [2, 8, 32]},
    )


def test_last_stable_is_the_end_of_an_unbroken_run() -> None:
    ds = made()
    found = {str(a): last_stable(ds.sel(arch=a)) for a in ds.arch.values}
    assert found == {"topk": 8, "batchtopk": None, "hierarchical_topk": 32}
    assert last_stable(ds.sel(arch="topk").isel(k=[2, 0, 1])) == 8


def test_the_words_have_the_numbers() -> None:
    text = finding(made())
    assert "by TopK up to k = 8 (p_hat 0.40 and EV 0.999 at k = 32)" in text
    assert "by BatchTopK at no k (p_hat 0.10" in text
    assert "by HierarchicalTopK up to k = 32 (p_hat 1.00" in text
    assert "samples need 4 latents on average and 99% of them 13 at most" in text
    named = finding(made().expand_dims(noise=[0.1]))
    assert named.startswith("With noise = 0.1, isolated features")


def test_the_figure_has_the_numbers() -> None:
    figure = stability_by_k(made())
    isolated, blocks, variance = figure.axes
    assert "only by HierarchicalTopK" in isolated.get_title(loc="left")
    assert "99.9% or more at k = 32" in variance.get_title(loc="left")
    drawn = [c.lines[0].get_ydata() for c in isolated.containers]
    np.testing.assert_allclose(drawn, made().isolated_reappearance.mean("seed"))
    marks = [line.get_xdata()[0] for line in isolated.lines if line.get_linestyle() == ":"]
    assert marks == [4, 13]
    laws = [line.get_ydata() for line in blocks.lines if line.get_linestyle() == "--"][:3]
    np.testing.assert_allclose(laws, 0.6)


def test_without_blocks_their_panel_is_empty_and_the_legend_whole() -> None:
    ds = made()
    figure = stability_by_k(ds.assign(block_reappearance=ds.block_reappearance * np.nan))
    blocks = figure.axes[1]
    assert not blocks.axison
    assert not blocks.lines
    assert blocks.get_title(loc="left") == "no blocks are planted"
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["TopK", "BatchTopK", "HierarchicalTopK"]


def test_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["k_sweep", "--out", str(tmp_path), *sets]) == 0
    assert "samples need 0.5 latents on average" in capsys.readouterr().out
    ds = synthsae.open_results("k_sweep", tmp_path)
    assert ds.isolated_reappearance.sizes == {"arch": 2, "k": 2, "seed": 3}
    assert (tmp_path / "k_sweep" / "k_sweep.png").stat().st_size > 1000
