"""The seed sources in small, and their measure against an independent computation."""

from pathlib import Path

import numpy as np
import pytest
from synthsae.studies.seed_sources.figure import SOURCES, cosine_by_source, stability_by_source
from synthsae.studies.seed_sources.scores import cosine_with_start

import synthsae
from synthsae.config import override
from synthsae.sae.base import initial_params
from synthsae.scores import run as results
from synthsae.stats import mean_interval
from synthsae.study import cli

TINY = {
    "world_seed": "0,1",
    "world.d_model": "16",
    "world.n_isolated": "6",
    "world.n_blocks": "2",
    "world.rank": "3",
    "train.n_steps": "60",
    "train.batch_size": "64",
    "n_seeds": "3",
    "eval_samples": "500",
}


@pytest.mark.slow
def test_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [text for field, value in TINY.items() for text in ("--set", f"{field}={value}")]
    assert cli.main(["seed_sources", "--out", str(tmp_path), *sets]) == 0
    assert "where seeds share their start" in capsys.readouterr().out
    ds = synthsae.open_results("seed_sources", tmp_path)
    same = ds.sel(init="shared", data="shared")
    assert (same.block_reappearance == 1).all()
    assert (same.isolated_reappearance == same.isolated_reappearance.isel(seed=0)).all()
    spread = np.ptp(same.explained_variance.values, axis=-1)
    assert spread.max() < 1e-5  # groups of 2 and 1 differ by rounding
    assert float(ds.sel(init="independent").block_reappearance.mean()) < 0.95
    assert (ds.initial_reappearance.sel(init="shared") == 1).all()
    assert float(ds.initial_reappearance.sel(init="independent").max()) < 0.1
    assert (tmp_path / "seed_sources" / "seed_sources.png").stat().st_size > 1000
    for figure, name in (
        (stability_by_source(ds), "block_reappearance"),
        (cosine_by_source(ds), "start_memory"),
    ):
        values = ds[name].mean(("seed", "block"))
        for drawn, (init, data) in zip(figure.axes[0].containers, SOURCES, strict=True):
            score = mean_interval(values.sel(init=init, data=data).values.ravel())
            assert np.isclose(drawn[0].get_ydata()[0], score.estimate)
            ends = drawn[2][0].get_segments()[0][:, 1]
            assert np.allclose(ends, [max(0, score.low), min(1, score.high)])


@pytest.mark.parametrize("init", ["independent", "shared"])
def test_cosine_with_start(init: str) -> None:
    changes = TINY | {"world_seed": "0", "train.init": init}
    run = results.run_cell(override(cli.load("seed_sources").base, changes))
    memory = cosine_with_start(run).start_memory
    sae = run.config.sae.for_width(16)
    for s, seed in enumerate(run.seeds):
        start = initial_params(sae, 16, seed if init == "independent" else 0)["w_dec"]
        for g, (block, basis) in enumerate(zip(run.blocks, run.world.bases, strict=True)):
            into = basis @ basis.T  # whole vectors, not coordinates
            cosines = []
            for i in np.flatnonzero(block.members[s]):
                a, b = into @ run.directions[s, i], into @ start[i].numpy().astype(float)
                cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
            assert np.isclose(memory[s, g], np.mean(cosines), atol=1e-6)


def test_cosine_with_start_without_training_is_one() -> None:
    changes = TINY | {"world_seed": "0", "train.n_steps": "0", "sae.n_latents": "400"}
    run = results.run_cell(override(cli.load("seed_sources").base, changes))
    memory = cosine_with_start(run).start_memory
    assert np.allclose(memory, 1)
