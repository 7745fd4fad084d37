"""law_sweep: its measures against independent computations, and the whole of it in small."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group
from synthsae.studies.law_sweep.scores import flatness

import synthsae
from synthsae.config import Config
from synthsae.evaluation import Evaluation
from synthsae.sae import SAEConfig
from synthsae.scores.axes import axis_recovery, chance_axis_cosine
from synthsae.scores.needs import lacking
from synthsae.scores.run import Run
from synthsae.study import cli
from synthsae.theory import generalised_normal, rotation_excess
from synthsae.world import World, WorldConfig

TINY = {
    "world.rank": "2,3",
    "world.beta": "1,8",
    "world_seed": "0,1",
    "train.n_steps": "40",
    "train.batch_size": "64",
    "eval_samples": "500",
}


def planted_run(turn: np.ndarray, **world: object) -> Run:
    """Two seeds whose latents are +-(the axes of each block, turned)."""
    law = {"n_blocks": 2, "law": "generalised_normal"} | world
    c = WorldConfig(d_model=12, n_isolated=0, rank=len(turn), **law)
    planted = World.plant(c, seed=0)
    frame = np.concatenate([(u @ turn).T for u in planted.bases])
    d = np.stack([np.r_[frame, -frame]] * 2)
    config = Config(world=c, sae=SAEConfig(n_latents=d.shape[1], k=2), n_seeds=2)
    evaluation = Evaluation(d, np.full(d.shape[:2], 0.1), np.ones(2))
    return Run(config, planted, (0, 1), {}, evaluation)


def test_axis_cosine_is_that_of_the_frame() -> None:
    assert np.allclose(axis_recovery(planted_run(np.eye(4))).axis_cosine, 1)
    turn = ortho_group.rvs(4, random_state=1)
    got = axis_recovery(planted_run(turn))
    assert np.allclose(got.axis_cosine, np.abs(turn).max(axis=1).mean())
    assert np.allclose(got.axis_cosine_null, got.axis_cosine_chance, atol=0.01)


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_chance_axis_cosine(rank: int) -> None:
    u = np.random.default_rng(0).standard_normal((200_000, rank))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    assert chance_axis_cosine(rank) == pytest.approx(np.abs(u).max(axis=1).mean(), abs=1e-3)
    if rank == 4:
        assert chance_axis_cosine(rank) == pytest.approx(0.779, abs=5e-4)  # science.md, section 5


@pytest.mark.parametrize(("beta", "sign"), [(1.0, 1), (2.0, 0), (8.0, -1)])
def test_flatness_changes_sign_at_two(beta: float, sign: int) -> None:
    """One block that always fires: the theory's own number, in units of its variance R."""
    run = planted_run(np.eye(4), beta=beta, block_p=1.0, n_blocks=1)
    got = float(flatness(run, samples=20_000).rotation_excess)
    codes = generalised_normal(beta, (50_000, 4), np.random.default_rng(5))
    theory = rotation_excess(codes, k=2).mean() / 4
    assert got == pytest.approx(theory, abs=0.012)
    assert (got > 0.02) - (got < -0.02) == sign


def test_other_laws_have_no_axes() -> None:
    assert lacking(flatness, planted_run(np.eye(2), law="sparse").config) == ["axes"]


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["law_sweep", "--out", str(tmp_path), "--seeds", "2", *sets]) == 0
    ds = synthsae.open_results("law_sweep", tmp_path)
    assert ds.axis_cosine.dims == ("beta", "rank", "world_seed", "seed", "block")
    assert np.isfinite(ds.axis_cosine).all()
    assert "At the largest beta" in capsys.readouterr().out
    assert (tmp_path / "law_sweep" / "law_sweep.png").stat().st_size > 1000
