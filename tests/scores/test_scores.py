"""Labelled measures against their own definitions, on a small trained run."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from every_score import EVERY
from synthsae.studies.rank_sweep.scores import implied_rank

from synthsae import scores, theory
from synthsae.config import Config, override
from synthsae.geometry import haar
from synthsae.rng import numpy_generator
from synthsae.sae import SAEStack
from synthsae.scores.needs import lacking
from synthsae.scores.run import Run, lawful, run_cell
from synthsae.stats import row_interval
from synthsae.world import World

TINY = {
    "world.d_model": 20,
    "world.n_isolated": 5,
    "world.n_blocks": 2,
    "world.rank": 4,
    "train.n_steps": 60,
    "train.batch_size": 128,
    "train.lr": 0.01,
    "n_seeds": 4,
    "eval_samples": 3000,
}


DIMS = {"seed", "seed_a", "seed_b", "block", "angle", "budget", "matrix"}
DIMS |= {"latent", "label", "masked", "r", "features"}
DIMS |= {"union_size", "pool_size", "recipe", "side"}
DIMS |= {"n_used", "level", "feature"}
DIMS |= {"found_in", "cosine", "cluster"}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_cell(override(Config(), TINY))


def cosines(run: Run, s: int, t: int) -> np.ndarray:
    """Live latents of seed s against live latents of seed t."""
    return run.directions[s][run.live[s]] @ run.directions[t][run.live[t]].T


def test_block_stability_by_hand(run: Run) -> None:
    ds = scores.block_stability(run)
    for g, basis in enumerate(run.world.bases):
        for s in range(4):
            d = run.directions[s][run.live[s]]
            inside = np.linalg.norm(d @ basis, axis=1) ** 2 >= 0.5
            found = [cosines(run, s, t).max(1)[inside] >= 0.7 for t in range(4) if t != s]
            assert ds.latents_per_block[s, g] == inside.sum()
            assert ds.block_reappearance[s, g] == pytest.approx(np.mean(found))
    live = run.live.sum(1)
    for s in range(4):
        chance = [theory.chance_found(20, n) for n in np.delete(live, s)]
        assert ds.block_reappearance_chance[s] == pytest.approx(np.mean(chance))


def test_isolated_reappearance_by_hand(run: Run) -> None:
    """Every feature's closest latent is its Hungarian one here, so no assignment is needed."""
    ds = scores.feature_recovery(run)
    for s in range(4):
        score, cosine = [], []
        for f in run.world.isolated:
            c = run.directions[s][run.live[s]] @ f
            i = c.argmax()
            back = [cosines(run, s, t)[i].max() >= 0.7 for t in range(4) if t != s]
            score.append(np.mean(back) if c[i] >= 0.7 else 0)
            cosine.append(c[i])
        assert ds.isolated_reappearance[s] == pytest.approx(np.mean(score))
        assert ds.feature_mcc[s] == pytest.approx(np.mean(cosine))


def test_implied_rank_by_hand(run: Run) -> None:
    ds = implied_rank(run)
    stability = scores.block_stability(run)
    p, m = stability.block_reappearance.mean("block"), float(stability.latents_per_block.mean())
    mean, low, high = row_interval(p.values)
    assert ds.block_reappearance_low == pytest.approx(max(low, 0))
    assert ds.block_reappearance_high == pytest.approx(min(high, 1))
    # the law is for whole ranks too: m A_R brackets the mean p_hat around the implied rank
    rank = float(ds.implied_rank)
    assert (
        m * theory.cap_measure(int(rank), 0.7) >= mean >= m * theory.cap_measure(int(rank) + 1, 0.7)
    )
    assert ds.implied_rank_low <= rank <= ds.implied_rank_high


def test_coverage_law_by_hand(run: Run) -> None:
    ds = scores.coverage_law(run)
    stability = scores.block_stability(run).block_reappearance
    assert abs(float(stability.mean() - ds.coverage_prediction.mean())) <= 4 * float(
        ds.coverage_prediction_sd
    )
    rotated = [
        theory.coverage_monte_carlo(
            run.directions, run.live, b.members, u, rng=numpy_generator("null", 0, g)
        )
        for g, (b, u) in enumerate(zip(run.blocks, run.world.bases, strict=True))
    ]
    assert np.array_equal(ds.coverage_prediction, np.mean(rotated, axis=1).T)
    assert ds.coverage_prediction_sd == np.mean(rotated, axis=(0, 2)).std(ddof=1)
    left = (2 * 20 - 5) / 2
    assert ds.coverage_a_priori == theory.coverage_a_priori(4, left)
    m = run.per_block(lambda b: b.latents)
    for s in range(4):
        others = theory.coverage_closed(np.delete(m, s, axis=0), 4).mean(0)
        assert ds.coverage_closed_form[s].values == pytest.approx(others)


@pytest.mark.parametrize(
    ("change", "predicted"),
    [
        ({}, True),
        ({"world.law": "gaussian"}, True),
        ({"world.law": "generalised_normal", "world.beta": 2.0}, True),
        ({"world.law": "generalised_normal", "world.beta": 1.0}, False),
        ({"world.law": "sparse"}, False),
        ({"world.leaning": True}, False),
        ({"train.data": "shared"}, False),
        ({"train.init": "shared"}, False),
        ({"world.n_blocks": 0}, False),
    ],
)
def test_predicted_only_where_the_law_holds(change: dict, predicted: bool) -> None:
    assert lawful(override(Config(), TINY | change)) == predicted


@pytest.mark.slow
def test_coverage_law_is_whole_dictionaries_that_turn_in_all_blocks(run: Run) -> None:
    """An oracle that measures rotated dictionaries as if they were trained: its mean, and its sd
    over rotations, which is that of one run's mean and not of the mean of all draws.
    """
    rng, n, mean_p = np.random.default_rng(0), 400, []
    for _ in range(n):
        d = run.directions
        for u in run.bases:
            d = d + d @ u @ (haar(4, rng, (len(d),)) - np.eye(4)) @ u.T
        turned = replace(run, evaluation=replace(run.evaluation, directions=d))
        mean_p.append(turned.per_block(lambda b: b.reappearance).mean())
    sd = np.std(mean_p, ddof=1)
    law = scores.coverage_law(run, draws=n)
    assert abs(law.coverage_prediction.mean() - np.mean(mean_p)) <= 4 * sd * np.sqrt(2 / n)
    assert abs(law.coverage_prediction_sd / sd - 1) <= 4 / np.sqrt(n)  # two sds, each +- 1/sqrt(2n)


def test_pairwise_and_initial_agreement(run: Run) -> None:
    ds = scores.seed_agreement(run)
    assert np.isnan(np.diagonal(ds.pairwise_mcc)).all()
    assert np.allclose(ds.pairwise_mcc, ds.pairwise_mcc.T, equal_nan=True)
    start = SAEStack.init(run.config.sae, 20, run.seeds).directions()
    share = [(start[0] @ start[t].T).max(1) >= 0.7 for t in (1, 2, 3)]
    assert ds.initial_reappearance[0] == np.mean(share)
    shared = override(run.config, {"train.init": "shared"})
    same = Run(shared, run.world, run.seeds, {}, run.evaluation)
    assert (scores.seed_agreement(same).initial_reappearance == 1).all()


def test_angles_and_overlap_agree(run: Run) -> None:
    ds = scores.subspace_recovery(run)
    from_angles = (np.cos(ds.principal_angle) ** 2).mean("angle")
    assert np.allclose(from_angles, ds.subspace_overlap)
    assert ds.subspace_overlap_chance == 4 / 20
    assert float(ds.subspace_overlap.mean()) > 3 * float(ds.subspace_overlap_chance)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["isotropic", "sparse"])
@pytest.mark.parametrize("missing", ["world.n_blocks", "world.n_isolated"])
def test_worlds_without_blocks_or_without_isolated_features(law: str, missing: str) -> None:
    run = run_cell(override(Config(), TINY | {"world.law": law, missing: 0, "train.n_steps": 3}))
    names = {name for name, score in EVERY.items() if not lacking(score, run.config)}
    if missing == "world.n_isolated" and law == "isotropic":  # no feature is planted at all
        names -= {"benchmark_scores", "correlation_recovery"}
    for name in names:
        ds = EVERY[name](run)
        assert set(ds.dims) <= DIMS, name
    if missing == "world.n_isolated":
        assert np.isnan(scores.feature_recovery(run).isolated_reappearance).all()
    else:
        assert scores.block_stability(run).sizes["block"] == 0


def test_untrained_saes_are_at_chance() -> None:
    """At step 0 nothing reappears, and PW-MCC is the matched mean of random directions."""
    run = run_cell(override(Config(), TINY | {"train.n_steps": 0, "sae.k": 40}))
    ds = scores.seed_agreement(run)
    assert float(ds.pairwise_mcc.mean()) == pytest.approx(float(ds.pairwise_mcc_chance), abs=0.02)
    world = World.plant(run.config.world, seed=0)
    assert np.array_equal(world.bases, run.world.bases)


class Samples:
    """A world whose truth is out of sight."""

    def __init__(self, world: World) -> None:
        self.d_model, self.batch = world.d_model, world.batch


def test_a_source_without_truth_gives_the_same_numbers_and_no_truth(run: Run) -> None:
    blind = replace(run, source=Samples(run.world))
    assert run.planted
    assert not blind.planted
    for measure in (scores.live_stability, scores.seed_agreement, scores.reconstruction):
        xr.testing.assert_identical(measure(blind), measure(run))
    assert blind.bases.shape == (0, 20, 0)
    assert scores.block_stability(blind).sizes["block"] == 0
    with pytest.raises(ValueError, match="source: Samples; allowed: a planted World"):
        scores.feature_recovery(blind)
