"""Intervals cover what they say, tests are calibrated, nulls keep what they must.

`python tests/stats/test_stats.py` prints the coverage table of `synthsae.stats`.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from synthsae import stats
from synthsae.geometry import Array, haar, unit
from synthsae.metrics import reappearance
from synthsae.metrics.transfer import transfer_curve

Sample = Callable[[np.random.Generator], Array]


def additive(seeds: int, pair_noise: float) -> Sample:
    """Scores .3 + .05 (a_s + a_t + pair_noise e_st), 1 on the diagonal: seeds better and worse."""

    def sample(rng: np.random.Generator) -> Array:
        a, e = rng.standard_normal(seeds), rng.standard_normal((seeds, seeds))
        x = 0.3 + 0.05 * (a[:, None] + a + pair_noise * (e + e.T) / 2**0.5)
        np.fill_diagonal(x, 1.0)
        return x

    return sample


def found(codes: Array, theta: float = 0.7) -> Array:
    """Share of each code's atoms [S, m, R] within theta of another's: [S, S]."""
    return (np.einsum("smr,tnr->stmn", codes, codes).max(axis=-1) >= theta).mean(axis=-1)


def cross_polytopes(seeds: int) -> Sample:
    """p_hat of Haar-rotated +-e_i of R^4: rigid codes, no seed better than another."""
    frame = np.concatenate([np.eye(4), -np.eye(4)])
    return lambda rng: found(frame @ haar(4, rng, (seeds,)))


def uniform_codes(seeds: int) -> Sample:
    """p_hat of eight independent uniform atoms of R^4 per seed."""
    return lambda rng: found(unit(rng.standard_normal((seeds, 8, 4))))


def row_means(matrix: Array) -> Array:
    n = len(matrix)
    return (matrix.sum(axis=1) - np.diag(matrix)) / (n - 1)


MODELS = {  # name -> (sampler for S seeds, true mean)
    "seeds differ, pairs hardly": (lambda s: additive(s, 0.2), 0.3),
    "seeds and pairs differ": (lambda s: additive(s, 1.0), 0.3),
    "cross-polytopes, R = 4": (cross_polytopes, 0.7517),
    "8 uniform atoms, R = 4": (uniform_codes, 1 - (1 - 0.0940602) ** 8),
}
INTERVALS = {
    "bootstrap, self-pairs": lambda x: stats.bootstrap_interval(x, self_pairs=True, draws=500),
    "bootstrap": lambda x: stats.bootstrap_interval(x, draws=500),
    "mean of rows": lambda x: stats.mean_interval(row_means(x)),
    "row_interval": lambda x: stats.row_interval(row_means(x)),
    "pairwise_interval": stats.pairwise_interval,
}


def class_scores(rng: np.random.Generator, seeds: int) -> dict[str, Array]:
    """What studies say of unstable latents, [S] each, for codes that crowd to an axis by seed."""
    crowd = np.ones((seeds, 1, 12))
    crowd[:, 0, 0] = np.exp(0.4 * rng.standard_normal(seeds))
    d = unit(rng.standard_normal((seeds, 32, 12)) * crowd)
    unstable = reappearance.labels(reappearance.reappearance(d)) == "unstable"
    sets = [code[chosen] for code, chosen in zip(d, unstable, strict=True)]
    others = [np.concatenate(sets[:s] + sets[s + 1 :]) for s in range(seeds)]
    curves = [transfer_curve(a, b) for a, b in zip(sets, others, strict=True)]
    return {
        "share": unstable.mean(axis=1),
        "mean": np.array([np.abs(a[:, 0]).mean() for a in sets]),
        "transfer": np.array([c[3] for c in curves]),
    }


def within_binomial(share: float, expected: float, repeats: int, k: float = 4.0) -> bool:
    return abs(share - expected) <= k * np.sqrt(expected * (1 - expected) / repeats)


# Intervals


@pytest.mark.parametrize("seeds", [5, 8, 20])
@pytest.mark.parametrize("name", MODELS)
def test_jackknife_covers(name: str, seeds: int) -> None:
    sampler, truth = MODELS[name]
    repeats = 200 if seeds == 20 else 400
    for kind in ("pairwise_interval", "row_interval"):
        share = stats.interval_coverage(
            INTERVALS[kind], sampler(seeds), truth, repeats=repeats, rng=seeds
        )
        assert share >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)


@pytest.mark.parametrize(
    ("score", "own"), [("share", (0.80, 0.93)), ("mean", (0.94, 1.0)), ("transfer", (0.82, 0.94))]
)
@pytest.mark.parametrize("seeds", [5, 8])
def test_scores_of_unstable_latents_need_the_wide_interval(
    score: str, own: tuple[float, float], seeds: int
) -> None:
    """They read other seeds through p_hat: intervals of independent seeds cover too little."""
    rng = np.random.default_rng(seeds)
    rows = np.array([class_scores(rng, seeds)[score] for _ in range(400)])
    truth = rows.mean()
    wide, alone = (
        np.mean([i.low <= truth <= i.high for i in map(interval, rows)])
        for interval in (stats.row_interval, stats.mean_interval)
    )
    assert wide >= 0.98
    assert own[0] <= alone <= own[1]


@pytest.mark.parametrize(
    ("name", "kind", "seeds", "measured"),
    [
        ("seeds differ, pairs hardly", "pairwise_interval", 8, 0.95),
        ("seeds differ, pairs hardly", "bootstrap", 5, 0.78),
        ("seeds differ, pairs hardly", "bootstrap, self-pairs", 8, 0.35),
        ("seeds and pairs differ", "mean of rows", 8, 0.68),
        ("cross-polytopes, R = 4", "mean of rows", 5, 0.82),
        ("8 uniform atoms, R = 4", "bootstrap, self-pairs", 5, 0.67),
    ],
)
def test_coverage_table(name: str, kind: str, seeds: int, measured: float) -> None:
    sampler, truth = MODELS[name]
    share = stats.interval_coverage(INTERVALS[kind], sampler(seeds), truth, repeats=400, rng=1)
    assert within_binomial(share, measured, 400)


@pytest.mark.parametrize("seeds", [2, 5, 8, 20])
def test_mean_interval_is_the_t_interval(seeds: int) -> None:
    x = np.random.default_rng(seeds).standard_normal((3, seeds))
    mine = stats.mean_interval(x, 0.9)
    low, high = scipy_stats.t.interval(
        0.9, seeds - 1, x.mean(axis=1), scipy_stats.sem(x, axis=1, ddof=1)
    )
    np.testing.assert_allclose(mine, (x.mean(axis=1), low, high), rtol=1e-12)


def test_pairwise_interval_leaves_out_a_seed_with_all_of_its_pairs() -> None:
    x = np.random.default_rng(0).random((2, 6, 6))  # not symmetric, with leading axes
    mine = stats.pairwise_interval(x)
    for k in range(2):
        off = ~np.eye(6, dtype=bool)
        without = [
            np.delete(np.delete(x[k], s, 0), s, 1)[~np.eye(5, dtype=bool)].mean() for s in range(6)
        ]
        pseudo = 6 * x[k][off].mean() - 5 * np.array(without)
        half = scipy_stats.t.ppf(0.975, 5) * pseudo.std(ddof=1) / np.sqrt(6)
        expected = (x[k][off].mean(), x[k][off].mean() - half, x[k][off].mean() + half)
        np.testing.assert_allclose([f[k] for f in mine], expected, rtol=1e-12)


def test_row_interval_is_the_pairwise_interval_of_a_symmetric_matrix() -> None:
    x = np.random.default_rng(0).random((7, 7))
    x = x + x.T
    np.testing.assert_allclose(stats.row_interval(row_means(x)), stats.pairwise_interval(x))


def test_the_diagonal_is_not_read() -> None:
    x = np.random.default_rng(0).random((5, 5))
    y = x.copy()
    np.fill_diagonal(y, np.nan)
    for interval in (stats.pairwise_interval, stats.bootstrap_interval):
        np.testing.assert_array_equal(interval(x), interval(y))


def test_two_seeds_have_a_pair_and_no_interval() -> None:
    for result in (
        stats.pairwise_interval([[1.0, 0.2], [0.4, 1.0]]),
        stats.row_interval([0.2, 0.4]),
    ):
        assert result.estimate == pytest.approx(0.3)
        assert np.isnan(result.low)
        assert np.isnan(result.high)


@given(arrays(float, (5, 5), elements=st.floats(-1, 1)), st.permutations(range(5)))
def test_pairwise_interval_does_not_know_the_order_of_seeds(x: Array, order: list[int]) -> None:
    np.testing.assert_allclose(
        stats.pairwise_interval(x), stats.pairwise_interval(x[np.ix_(order, order)]), atol=1e-12
    )


@given(arrays(float, (4, 4), elements=st.floats(-1, 1)), st.floats(0.05, 0.9))
def test_higher_levels_are_wider(x: Array, level: float) -> None:
    inner, outer = stats.pairwise_interval(x, level), stats.pairwise_interval(x, level + 0.05)
    assert outer.low <= inner.low <= inner.estimate <= inner.high <= outer.high


@pytest.mark.parametrize("self_pairs", [False, True])
def test_bootstrap_is_the_quantiles_of_resampled_means(self_pairs: bool) -> None:
    x = np.random.default_rng(0).random((6, 6))
    mine = stats.bootstrap_interval(x, self_pairs=self_pairs, draws=4000, rng=1)
    rng, means = np.random.default_rng(2), []
    for _ in range(4000):
        pick = rng.integers(6, size=6)
        keep = ~np.eye(6, dtype=bool) if self_pairs else pick[:, None] != pick
        means += [x[np.ix_(pick, pick)][keep].mean()] if keep.any() else []
    # the standard error of a 2.5% quantile here is about .003
    np.testing.assert_allclose(
        [mine.low, mine.high], np.quantile(means, [0.025, 0.975]), atol=0.015
    )
    assert mine.estimate == pytest.approx(x[~np.eye(6, dtype=bool)].mean())


# Tests


def p_values(test: Callable[[np.random.Generator], float], repeats: int) -> Array:
    rng = np.random.default_rng(0)
    return np.array([float(test(rng)) for _ in range(repeats)])


def group_p(rng: np.random.Generator, effect: float = 0.0) -> float:
    x = additive(9, 1.0)(rng)
    groups = np.repeat([0, 1, 2], 3)
    x += effect * (groups[:, None] == groups)
    return float(stats.group_test(x, groups, draws=199, rng=rng)[1])


NULL_TESTS = {
    "permutation": lambda g, shift=0.0: stats.permutation_test(
        g.exponential(size=6) + shift, g.exponential(size=5), draws=199, rng=g
    ),
    "sign flip, exact": lambda g, shift=0.0: stats.sign_flip_test(g.laplace(size=7) + shift),
    "sign flip, drawn": lambda g, shift=0.0: stats.sign_flip_test(
        g.laplace(size=12) + shift, draws=199, rng=g
    ),
    "group": group_p,
    "null": lambda g, shift=0.0: (
        stats.null_summary(g.standard_normal() + shift, g.standard_normal(199)).p
    ),
}


@pytest.mark.parametrize("name", NULL_TESTS)
def test_p_values_are_uniform_under_the_null_and_small_beside_it(name: str) -> None:
    p = p_values(NULL_TESTS[name], 400)
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        # discrete: at most `level`, and short of it by less than one step of 2^-6
        assert -0.016 - 4 * np.sqrt(level / 400) < (p <= level).mean() - level
        assert (p <= level).mean() - level < 4 * np.sqrt(level * (1 - level) / 400)
    power = p_values(lambda g: NULL_TESTS[name](g, 5.0), 20)
    assert (power <= 0.06).all()


def test_permutation_test_against_enumeration() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 5)) + 0.8, rng.standard_normal((2, 4))
    both, observed = np.hstack([a, b]), np.abs(a.mean(axis=1) - b.mean(axis=1))
    null = [
        np.abs(both[:, list(g)].mean(axis=1) - np.delete(both, g, axis=1).mean(axis=1))
        for g in combinations(range(9), 5)
    ]
    exact = (np.array(null) >= observed - 1e-12).mean(axis=0)
    mine = stats.permutation_test(a, b, draws=20000)
    np.testing.assert_allclose(mine, exact, atol=4 * 0.5 / 20000**0.5)


def test_sign_flips_by_hand() -> None:
    assert stats.sign_flip_test([1.0, 2.0, 3.0]) == pytest.approx(2 / 8)
    assert stats.sign_flip_test([1.0, -1.0, 0.0]) == 1.0


def test_group_test_by_hand() -> None:
    x = np.array([[9, 1, 2, 3], [1, 9, 4, 5], [2, 4, 9, 6], [3, 5, 6, 9]], dtype=float)
    observed, p = stats.group_test(x, ["a", "a", "b", "b"], draws=5000)
    assert observed == pytest.approx((1 + 6) / 2 - (2 + 3 + 4 + 5) / 4)
    # the three pairings give 0, 0 and 0: every relabelling ties
    assert p == 1.0
    x[0, 1] = x[1, 0] = 11
    _, p = stats.group_test(x, ["a", "a", "b", "b"], draws=5000)
    assert p == pytest.approx(1 / 3, abs=4 * 0.47 / 5000**0.5)


# Nulls


def planted(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Three seeds with 6 latents in a common plane of R^8 and 4 outside it; one latent is dead."""
    frame = haar(8, rng)
    inside = unit(rng.standard_normal((3, 6, 2))) @ frame[:, :2].T
    outside = np.broadcast_to(frame[:, 2:6].T, (3, 4, 8))
    live = np.ones((3, 10), dtype=bool)
    live[0, 9] = False
    return np.concatenate([inside, outside], axis=1), live, frame[:, :2]


def test_rotation_null_moves_the_block_and_nothing_else() -> None:
    d, live, basis = planted(np.random.default_rng(0))
    stay = stats.rotation_null(lambda x, on: x[:, 6:], d, live, basis, draws=5)
    np.testing.assert_allclose(stay, np.broadcast_to(d[:, 6:], stay.shape), atol=1e-12)
    code = stats.rotation_null(lambda x, on: x @ basis, d, live, basis, draws=200)
    gram = code @ np.swapaxes(code, -1, -2)
    np.testing.assert_allclose(gram, np.broadcast_to(gram[0], gram.shape), atol=1e-12)  # rigid
    np.testing.assert_allclose(np.linalg.norm(code[:, :, :6], axis=-1), 1, atol=1e-12)  # in block
    mean = code[:, :, 0].mean(axis=0)  # uniform on the circle: each coordinate has variance 1/2
    assert np.abs(mean).max() < 4 * np.sqrt(0.5 / 200)
    assert np.abs((code[:, 0, 0] * code[:, 1, 0]).sum(axis=-1).mean()) < 4 * np.sqrt(0.5 / 200)


def test_rotation_null_of_everything_keeps_angles_within_a_seed() -> None:
    d, live, _ = planted(np.random.default_rng(0))
    turned = stats.rotation_null(lambda x, on: x, d, live, draws=3)
    np.testing.assert_allclose(turned[1] @ turned[1].mT, d @ d.mT, atol=1e-12)
    assert np.abs(turned[0] - d).max() > 0.1


def test_random_direction_null_matches_the_live_count() -> None:
    d, live, _ = planted(np.random.default_rng(0))
    drawn = stats.random_direction_null(lambda x, on: x, d, live, draws=300)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), 1)
    np.testing.assert_array_equal(drawn[:, ~live], np.broadcast_to(d[~live], (300, 1, 8)))
    assert np.abs(drawn[:, live].mean(axis=0)).max() < 5 / np.sqrt(8 * 300)
    counts = stats.random_direction_null(lambda x, on: on.sum(axis=1), d, live, draws=2)
    np.testing.assert_array_equal(counts, [[9, 10, 10]] * 2)


def test_null_summary_by_hand() -> None:
    result = stats.null_summary([2.5, 9.0], np.array([[0, 1], [1, 1], [2, 1], [3, 1.0]]))
    np.testing.assert_allclose(result.p, [2 / 5, 1 / 5])
    np.testing.assert_allclose(result.mean, [1.5, 1])
    np.testing.assert_allclose(result.sd, [np.sqrt(5 / 3), 0])
    np.testing.assert_allclose(result.low, [0.075, 1])
    np.testing.assert_allclose(result.high, [2.925, 1])


def test_seeds_of_chance() -> None:
    d, live, _ = planted(np.random.default_rng(0))
    for null in (stats.random_direction_null, stats.rotation_null):
        one, same, other = (null(lambda x, on: x, d, live, draws=2, rng=r) for r in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


# Labels


def test_labelled_results_name_their_bounds() -> None:
    interval = stats.pairwise_interval(np.random.default_rng(0).random((3, 5, 5)))
    data = stats.labelled(
        "mcc", interval, ("rank",), {"rank": [1, 2, 3]}, units="1", long_name="pairwise MCC"
    )
    assert set(data.data_vars) == {"mcc", "mcc_low", "mcc_high"}
    np.testing.assert_array_equal(data["mcc_high"].sel(rank=2), interval.high[1])
    assert data["mcc_low"].attrs == {"units": "1", "long_name": "pairwise MCC"}
    null = stats.labelled("mcc", stats.null_summary(0.5, np.zeros(9)))
    assert float(null["mcc_p"]) == 0.1
    assert float(null["mcc"]) == 0.5


# Bad input

EYE, LIVE = np.ones((2, 3, 4)), np.ones((2, 3), dtype=bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.mean_interval([1.0]), r"values: shape \(1,\)"),
        (lambda: stats.mean_interval(3.0), r"values: shape \(\)"),
        (lambda: stats.mean_interval([1.0, np.nan]), "values: 1 non-finite"),
        (lambda: stats.mean_interval([1.0, 2.0], level=1.0), "level: 1.0"),
        (lambda: stats.row_interval([1.0]), r"rows: shape \(1,\)"),
        (lambda: stats.pairwise_interval(np.ones((2, 3))), r"matrix: shape \(2, 3\)"),
        (lambda: stats.pairwise_interval(np.ones((1, 1))), r"matrix: shape \(1, 1\)"),
        (lambda: stats.pairwise_interval(np.full((3, 3), np.inf)), "matrix: 6 non-finite"),
        (lambda: stats.bootstrap_interval(np.ones((3, 3)), level=0), "level: 0"),
        (
            lambda: stats.bootstrap_interval(np.diag([np.nan] * 3), self_pairs=True),
            "matrix: 3 non-finite",
        ),
        (lambda: stats.jackknife_interval(1.0, np.ones((2, 3))), r"leave_one_out: shape \(2, 3\)"),
        (lambda: stats.permutation_test([], [1.0]), r"a: shape \(0,\)"),
        (lambda: stats.permutation_test(np.ones((2, 3)), np.ones((3, 3))), r"b: shape \(3, 3\)"),
        (lambda: stats.sign_flip_test([1.0]), "differences: shape"),
        (lambda: stats.group_test(np.ones((3, 3)), [0, 1]), r"groups: \[0, 1\]"),
        (lambda: stats.group_test(np.ones((3, 3)), [0, 1, 2]), r"groups: \[0, 1, 2\]"),
        (lambda: stats.group_test(np.ones((3, 3)), [0, 0, 0]), r"groups: \[0, 0, 0\]"),
        (lambda: stats.null_summary(1.0, [0.0]), r"null: shape \(1,\)"),
        (lambda: stats.null_summary([1.0, 2.0], np.ones((5, 3))), r"null: shape \(5, 3\)"),
        (lambda: stats.rotation_null(np.sum, EYE[0], LIVE), r"directions: shape \(3, 4\)"),
        (lambda: stats.rotation_null(np.sum, EYE, LIVE[0]), r"live: shape \(3,\)"),
        (
            lambda: stats.rotation_null(np.sum, EYE, LIVE, np.ones((4, 2))),
            r"basis: shape \(4, 2\)",
        ),
        (lambda: stats.random_direction_null(np.sum, EYE, LIVE.T), r"live: shape \(3, 2\)"),
        (lambda: stats.random_direction_null(np.sum, EYE, 1.0 * LIVE), "live: .*float64"),
        (lambda: stats.rotation_null(np.sum, EYE * np.nan, LIVE), "directions: 24 non-finite"),
        (lambda: stats.rotation_null(np.sum, EYE, LIVE, draws=0), "draws: 0"),
        (lambda: stats.mean_interval([1.0, 2j]), "values: complex128"),
        (lambda: stats.mean_interval(["1", "2"]), "values: <U1"),
        (lambda: stats.mean_interval([1.0, 2.0], level="0.9"), "level: '0.9'"),
        (lambda: stats.null_summary(np.nan, [0.0, 1.0]), "observed: 1 non-finite"),
        (lambda: stats.null_summary(0.5, [0.0, np.nan]), "null: 1 non-finite"),
        (lambda: stats.permutation_test([1.0], [1.0], draws=0), "draws: 0"),
        (lambda: stats.bootstrap_interval(np.ones((3, 3)), draws=-1), "draws: -1"),
    ],
)
def test_bad_input_is_one_line_that_names_it(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}.*allowed: ") as caught:
        call()
    assert "\n" not in str(caught.value)


if __name__ == "__main__":
    for name, (sampler, truth) in MODELS.items():
        for kind, interval in INTERVALS.items():
            row = [
                stats.interval_coverage(interval, sampler(s), truth, repeats=2000, rng=s)
                for s in (5, 8, 20)
            ]
            print(f"{name:27s} {kind:22s}", "  ".join(f"{c:.2f}" for c in row))
