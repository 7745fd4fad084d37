"""Measures between whole dictionaries against their definitions, by other means."""

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from realdata.compare import compare
from synthsae import scores, theory
from synthsae.config import Config, override
from synthsae.geometry import unit
from synthsae.metrics.rank import effective_rank
from synthsae.scores.run import Dictionaries, Run, run_cell
from synthsae.seeds.intervals import interval_of
from synthsae.stats import pairwise_interval

TINY = {
    "world.d_model": 24,
    "world.n_isolated": 8,
    "world.n_blocks": 2,
    "world.rank": 6,
    "sae.n_latents": 60,
    "train.n_steps": 250,
    "train.batch_size": 128,
    "train.lr": 0.01,
    "n_seeds": 4,
    "eval_samples": 3000,
}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_cell(override(Config(), TINY))


@pytest.fixture(scope="module")
def saes(run: Run) -> Dictionaries:
    """With two dead latents, so that live and all differ."""
    live = run.live.copy()
    live[1, :2] = False
    return Dictionaries(("a", "b", "c", "d"), run.directions, live, run.encoders)


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - cdist(x, y, "cosine")


def matched(score: np.ndarray) -> np.ndarray:
    return score[linear_sum_assignment(-score)]


def pair(saes: Dictionaries, s: int, t: int) -> np.ndarray:
    return cosine(saes.directions[s][saes.live[s]], saes.directions[t][saes.live[t]])


def test_matched_agreement(saes: Dictionaries, run: Run) -> None:
    ds, every = scores.matched_agreement(saes), scores.matched_agreement_all(run)
    pooled = []
    for s, t in combinations(range(4), 2):
        found = matched(pair(saes, s, t))
        pooled.extend(found)
        for a, b in ((s, t), (t, s)):
            assert ds.pairwise_mcc[a, b] == pytest.approx(found.mean())
            assert ds.matched_median[a, b] == pytest.approx(np.median(found))
            assert ds.matched_share[a, b] == pytest.approx((found >= 0.9).mean())
        whole = matched(cosine(run.directions[s], run.directions[t]))
        assert every.matched_median_all[s, t] == pytest.approx(np.median(whole))
    assert np.isnan(np.diag(ds.pairwise_mcc)).all()
    want = np.histogram(pooled, 100, (-1, 1))[0] / len(pooled)
    np.testing.assert_allclose(ds.matched_histogram, want)
    assert ds.matched_histogram_chance.sum() == pytest.approx(1)
    assert float(ds.pairwise_mcc_chance) == pytest.approx(
        theory.chance_matched_cosine(24, 60, 60, draws=50), abs=0.005
    )
    assert float(ds.matched_p) == 1 / 100


def test_random_dictionaries_are_not_significant() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(6):
        rows = unit(rng.standard_normal((2, 40, 16)))
        ds = scores.matched_agreement(Dictionaries(("a", "b"), rows, np.ones((2, 40), bool)))
        p.append(float(ds.matched_p))
        assert abs(ds.pairwise_mcc[0, 1] - ds.pairwise_mcc_chance) < 5 * ds.pairwise_mcc_chance_sd
    assert 0.1 < np.mean(p) < 0.9


def test_nearest_agreement(saes: Dictionaries) -> None:
    ds = scores.nearest_agreement(saes)
    for s, t in permutations(range(4), 2):
        assert ds.mmcs[s, t] == pytest.approx(pair(saes, s, t).max(1).mean())
        n = saes.live[t].sum()
        assert ds.mmcs_chance[t] == pytest.approx(theory.chance_max_cosine(24, n))


def test_shared_latents(saes: Dictionaries) -> None:
    """Both matches by hand; and empty where encoders are not there."""
    ds = scores.shared_latents(saes)
    for s, t in permutations(range(4), 2):
        partner = []
        for rows in (saes.directions, saes.encoders):
            score = cosine(rows[s][saes.live[s]], rows[t][saes.live[t]])
            i, j = linear_sum_assignment(-score)
            partner.append({(a, b) for a, b in zip(i, j, strict=True) if score[a, b] >= 0.7})
        both = len(partner[0] & partner[1])
        assert both > 0
        assert ds.shared_share[s, t] == pytest.approx(both / saes.live[s].sum())
    bare = Dictionaries(saes.seeds, saes.directions, saes.live)
    with pytest.raises(ValueError, match="encoders: None"):
        scores.shared_latents(bare)
    assert "shared_share" not in compare(bare)


def test_reappearance_counts(saes: Dictionaries) -> None:
    ds = scores.reappearance_counts(saes)
    for s in range(4):
        hits = [pair(saes, s, t).max(1) >= 0.7 for t in range(4) if t != s]
        times = np.sum(hits, axis=0)
        assert ds.reappearance_counts[s].values.tolist() == [(times == k).sum() for k in range(4)]
        for t, hit in zip((t for t in range(4) if t != s), hits, strict=True):
            assert ds.found_share[s, t] == pytest.approx(hit.mean())
    p = scores.live_stability(saes).live_reappearance
    np.testing.assert_allclose(np.nanmean(ds.found_share, axis=1), p)
    np.testing.assert_array_equal(
        interval_of(ds.found_share), pairwise_interval(np.nan_to_num(ds.found_share))
    )


def test_unstable_transfer_without_truth(saes: Dictionaries) -> None:
    """The curve by hand, and as many of the latents that are not unstable drawn again."""
    ds, rng = scores.unstable_transfer(saes, draws=40), np.random.default_rng(5)
    unstable = saes.p_hat <= 0.05
    assert unstable.sum() > 8

    def energy(source: np.ndarray, target: np.ndarray, r: int) -> float:
        _, _, axes = np.linalg.svd(source)
        return float(((target @ axes[: min(r, len(source))].T) ** 2).sum(1).mean())

    for s in range(4):
        own, n = saes.directions[s][unstable[s]], unstable[s].sum()
        others = np.concatenate([saes.directions[t][unstable[t]] for t in range(4) if t != s])
        for r in range(25):
            assert ds.transfer[s, r] == pytest.approx(energy(own, others, r), abs=1e-9)
            assert ds.transfer_chance[r] == r / 24
        rest = saes.directions[s][saes.live[s] & ~unstable[s]]
        n = min(n, len(rest))
        for r in (3, 8):
            same, drawn = (
                [energy(rng.permutation(rows)[:n], others, r) for _ in range(200)]
                for rows in (own, rest)
            )
            error = np.hypot(np.std(drawn), np.std(same)) * (1 / 40 + 1 / 200) ** 0.5
            assert ds.transfer_other[s, r] == pytest.approx(np.mean(drawn), abs=5 * error)
            gap = np.mean(same) - np.mean(drawn)
            assert ds.transfer_excess[s, r] == pytest.approx(gap, abs=5 * error)


def test_the_excess_is_of_equal_rows() -> None:
    """Twenty unstable latents of a shared plane and random ones beside one stable latent."""
    rng = np.random.default_rng(0)
    rows = np.zeros((3, 21, 40))
    rows[:, 0, 0] = 1
    rows[:, 1:, 1:] = rng.standard_normal((3, 20, 39))
    saes = Dictionaries(("a", "b", "c"), unit(rows), np.ones((3, 21), bool))
    assert (saes.p_hat[:, 0] == 1).all()
    assert (saes.p_hat[:, 1:] == 0).all()
    ds = scores.unstable_transfer(saes, draws=20)
    np.testing.assert_allclose(ds.transfer_other, 0, atol=1e-12)
    assert (ds.transfer.isel(r=-1) > 0.4).all()  # of all twenty
    assert (ds.transfer_excess.isel(r=-1) < 0.05).all()  # of one, as there is one other


def test_the_null_draws_no_dead_latents() -> None:
    """Where every live latent is unstable, there is no other to draw."""
    rng, live = np.random.default_rng(0), np.tile(np.arange(20) < 10, (3, 1))
    rows = np.where(live[..., None], 1, 1e-9) * rng.standard_normal((3, 20, 24))
    rows[:, 10:, 20:] = 1
    saes = Dictionaries(("a", "b", "c"), unit(rows), live)
    assert (saes.p_hat[live] == 0).all()
    ds = scores.unstable_transfer(saes)
    assert ds.transfer.notnull().all()
    assert ds.transfer_other.isnull().all()
    assert ds.transfer_excess.isnull().all()
    assert ds.transfer_stable.isnull().all()
    assert scores.class_dimension(saes).unstable_rank.isnull().all()


def test_class_dimension_without_truth(saes: Dictionaries) -> None:
    ds, rng = scores.class_dimension(saes), np.random.default_rng(0)
    assert set(ds) == {"rank_rows", "unstable_rank", "stable_rank", "iid_rank"}
    for s in range(4):
        sets = [
            saes.directions[s][saes.p_hat[s] >= 0.95],
            saes.directions[s][saes.p_hat[s] <= 0.05],
        ]
        n = min(map(len, sets))
        assert ds.rank_rows[s] == n
        smaller, name = (sets[0], "stable") if len(sets[0]) == n else (sets[1], "unstable")
        share = np.linalg.svd(smaller, compute_uv=False)
        share /= share.sum()
        want = np.exp(-(share * np.log(share)).sum())
        assert ds[f"{name}_rank"][s] * 24 == pytest.approx(want)
        assert ds.iid_rank[s] * 24 == pytest.approx(
            effective_rank(rng.standard_normal((200, n, 24))).mean(), rel=0.05
        )


def test_one_latent_has_no_rank_to_speak_of() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 10, 24))
    rows[:, 0] = np.eye(24)[0]
    saes = Dictionaries(("a", "b", "c"), unit(rows), np.ones((3, 10), bool))
    ds = scores.class_dimension(saes)
    assert ds.rank_rows.values.tolist() == [1, 1, 1]
    assert ds[["stable_rank", "unstable_rank", "iid_rank"]].to_array().isnull().all()


def test_firing_rates(run: Run) -> None:
    ds, rate = scores.firing_rates(run), run.evaluation.rates
    for s in range(4):
        p = run.p_hat[s]
        kinds = {"stable": p >= 0.95, "unstable": p <= 0.05, "middle": (p > 0.05) & (p < 0.95)}
        for name, on in kinds.items():
            want = rate[s, on].mean() if on.any() else np.nan
            np.testing.assert_allclose(ds.firing_rate.sel(label=name)[s], want)


def test_results_do_not_depend_on_the_order_of_latents(saes: Dictionaries) -> None:
    order = np.random.default_rng(0).permutation(60)
    moved = Dictionaries(
        saes.seeds, saes.directions[:, order], saes.live[:, order], saes.encoders[:, order]
    )
    for measure in (
        scores.matched_agreement,
        scores.nearest_agreement,
        scores.shared_latents,
        scores.reappearance_counts,
        scores.live_stability,
    ):
        a, b = measure(saes), measure(moved)
        for name in a:
            np.testing.assert_allclose(a[name], b[name], atol=1e-12, err_msg=name)
