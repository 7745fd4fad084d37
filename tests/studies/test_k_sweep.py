"""k_sweep: what samples need by enumeration and by draws, its words and lines, and it in small."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.k_sweep.figure import stability_over_training
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
    """At k = 32 TopK comes late and HierarchicalTopK is there at once."""
    late, there = [[1.0, 1.0], [0.2, 0.9]], [[1.0, 1.0], [1.0, 1.0]]  # [k, n_steps]
    p = np.array([late, there])[..., None] * np.ones(4)
    variance = np.array([[0.95, 0.96], [0.998, 0.999]])[None, ..., None] * np.ones((2, 2, 2, 4))
    dims = ("arch", "k", "n_steps", "seed")
    return xr.Dataset(
        {"isolated_reappearance": (dims, p), "explained_variance": (dims, variance)},
        {"arch": ["topk", "hierarchical_topk"], "k": [4, 32], "n_steps": [600, 2400]},
    )


def test_the_words_have_the_numbers_of_the_largest_k() -> None:
    found = finding(made().isel(n_steps=[1, 0], k=[1, 0]))
    assert found.values == {"first": 0.2, "last": 0.9, "short": 600, "long": 2400, "arch": "TopK"}
    assert found.table is not None
    assert len(found.table) == 8
    more = finding(made().expand_dims(noise=[0.1, 0.2])).table
    assert more is not None
    assert set(more.noise) == {0.1, 0.2}
    assert "2,400" not in finding(made().isel(n_steps=0)).sentence


def test_the_figure_has_the_numbers() -> None:
    figure = stability_over_training(made())
    few, many, variance = figure.axes
    drawn = [c.lines[0].get_ydata() for c in many.containers]
    np.testing.assert_allclose(drawn, [[0.2, 0.9], [1.0, 1.0]])
    np.testing.assert_allclose([c.lines[0].get_ydata() for c in few.containers], 1)
    np.testing.assert_allclose(variance.containers[0].lines[0].get_ydata(), [0.998, 0.999])
    assert "99.8% or more" in variance.get_title(loc="left")
    assert "in 1 of 2 cases" in figure.get_suptitle()
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["TopK", "HierarchicalTopK"]


@pytest.mark.slow
def test_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["k_sweep", "--out", str(tmp_path), *sets]) == 0
    assert "At the largest k" in capsys.readouterr().out
    ds = synthsae.open_results("k_sweep", tmp_path)
    assert ds.isolated_reappearance.sizes == {"arch": 2, "k": 2, "n_steps": 1, "seed": 3}
    assert (tmp_path / "k_sweep" / "k_sweep.png").stat().st_size > 1000
