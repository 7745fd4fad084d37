"""Intervals cover what they say, tests are calibrated, nulls keep what they must.

`python tests/stats/test_stats.py` prints the coverage table of `synthsae.stats`.
"""

import doctest
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats
from seed_bootstrap import bootstrap_interval, interval_coverage

from synthsae import stats
from synthsae.checks import ConfigError
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
    "bootstrap, self-pairs": lambda x: bootstrap_interval(x, self_pairs=True),
    "bootstrap": bootstrap_interval,
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
        share = interval_coverage(
            INTERVALS[kind], sampler(seeds), truth, repeats=repeats, rng=seeds
        )
        assert share >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "own"), [("share", (0.80, 0.93)), ("mean", (0.94, 1.0)), ("transfer", (0.82, 0.94))]
)
@pytest.mark.parametrize("seeds", [5, 8])
def test_scores_of_unstable_latents_need_row_interval(
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
    share = interval_coverage(INTERVALS[kind], sampler(seeds), truth, repeats=400, rng=1)
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
    np.testing.assert_array_equal(stats.pairwise_interval(x), stats.pairwise_interval(y))


def test_two_seeds_have_a_pair_and_no_interval() -> None:
    for result in (
        stats.pairwise_interval([[1.0, 0.2], [0.4, 1.0]]),
        stats.row_interval([0.2, 0.4]),
    ):
        assert result.estimate == pytest.approx(0.3)
        assert np.isnan(result.low)
        assert np.isnan(result.high)


@given(arrays(float, (5, 5), elements=st.floats(-1, 1)), st.permutations(range(5)))
def test_pairwise_interval_ignores_the_order_of_seeds(x: Array, order: list[int]) -> None:
    np.testing.assert_allclose(
        stats.pairwise_interval(x), stats.pairwise_interval(x[np.ix_(order, order)]), atol=1e-12
    )


@given(arrays(float, (4, 4), elements=st.floats(-1, 1)), st.floats(0.05, 0.9))
def test_higher_levels_are_wider(x: Array, level: float) -> None:
    inner, outer = stats.pairwise_interval(x, level), stats.pairwise_interval(x, level + 0.05)
    assert outer.low <= inner.low <= inner.estimate <= inner.high <= outer.high


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


def test_null_summary_by_hand() -> None:
    result = stats.null_summary([2.5, 9.0], np.array([[0, 1], [1, 1], [2, 1], [3, 1.0]]))
    np.testing.assert_allclose(result.p, [2 / 5, 1 / 5])
    np.testing.assert_allclose(result.mean, [1.5, 1])
    np.testing.assert_allclose(result.sd, [np.sqrt(5 / 3), 0])
    np.testing.assert_allclose(result.low, [0.075, 1])
    np.testing.assert_allclose(result.high, [2.925, 1])


def test_the_rotation_null_follows_its_seed() -> None:
    d, live, _ = planted(np.random.default_rng(0))
    one, same, other = (
        stats.rotation_null(lambda x, on: x, d, live, draws=2, rng=r) for r in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


# Bad input

EYE, LIVE = np.ones((2, 3, 4)), np.ones((2, 3), dtype=bool)


BAD = [
    (lambda: stats.mean_interval([1.0]), "values"),
    (lambda: stats.mean_interval(3.0), "values"),
    (lambda: stats.mean_interval([1.0, np.nan]), "values"),
    (lambda: stats.mean_interval([1.0, 2j]), "values"),
    (lambda: stats.mean_interval(["1", "2"]), "values"),
    (lambda: stats.mean_interval([1.0, 2.0], level=1.0), "level"),
    (lambda: stats.mean_interval([1.0, 2.0], level=0.0), "level"),
    (lambda: stats.mean_interval([1.0, 2.0], level="0.9"), "level"),
    (lambda: stats.row_interval([1.0]), "rows"),
    (lambda: stats.pairwise_interval(np.ones((2, 3))), "matrix"),
    (lambda: stats.pairwise_interval(np.ones((1, 1))), "matrix"),
    (lambda: stats.pairwise_interval(np.full((3, 3), np.inf)), "matrix"),
    (lambda: stats.jackknife_interval(1.0, np.ones((2, 3))), "leave_one_out"),
    (lambda: stats.group_test(np.ones((3, 3)), [0, 1]), "groups"),
    (lambda: stats.group_test(np.ones((3, 3)), [0, 1, 2]), "groups"),
    (lambda: stats.group_test(np.ones((3, 3)), [0, 0, 0]), "groups"),
    (lambda: stats.group_test(np.ones((3, 3)), [0, 0, 1], draws=0), "draws"),
    (lambda: stats.null_summary(1.0, [0.0]), "null"),
    (lambda: stats.null_summary([1.0, 2.0], np.ones((5, 3))), "null"),
    (lambda: stats.null_summary(np.nan, [0.0, 1.0]), "observed"),
    (lambda: stats.null_summary(0.5, [0.0, np.nan]), "null"),
    (lambda: stats.rotation_null(np.sum, EYE[0], LIVE), "directions"),
    (lambda: stats.rotation_null(np.sum, EYE * np.nan, LIVE), "directions"),
    (lambda: stats.rotation_null(np.sum, EYE, LIVE[0]), "live"),
    (lambda: stats.rotation_null(np.sum, EYE, LIVE.T), "live"),
    (lambda: stats.rotation_null(np.sum, EYE, 1.0 * LIVE), "live"),
    (lambda: stats.rotation_null(np.sum, EYE, LIVE, np.ones((4, 2))), "basis"),
    (lambda: stats.rotation_null(np.sum, EYE, LIVE, np.eye(5)[:, :2]), "basis"),
    (lambda: stats.rotation_null(np.sum, EYE, LIVE, draws=0), "draws"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_an_error_names_the_argument(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.field == argument
    assert "\n" not in str(caught.value)


def test_the_examples_of_the_docstring_run() -> None:
    assert doctest.testmod(stats).attempted > 5
    assert doctest.testmod(stats).failed == 0


@given(st.integers(1, 30), st.floats(0.5, 0.99), st.data())
def test_the_binomial_interval_is_scipys_exact_one(
    n: int, level: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, n))
    found = stats.binomial_interval(k, n, level)
    exact = scipy_stats.binomtest(k, n).proportion_ci(level, method="exact")
    assert found.estimate == k / n
    assert np.allclose([found.low, found.high], [exact.low, exact.high], atol=1e-9)


def test_the_binomial_interval_keeps_unknown_numbers_and_refuses_others() -> None:
    assert np.isnan(stats.binomial_interval([np.nan, 1], 2).low).tolist() == [True, False]
    with pytest.raises(ConfigError) as error:
        stats.binomial_interval([3], 2)
    assert error.value.field == "hits"


if __name__ == "__main__":
    for name, (sampler, truth) in MODELS.items():
        for kind, interval in INTERVALS.items():
            row = [
                interval_coverage(interval, sampler(s), truth, repeats=2000, rng=s)
                for s in (5, 8, 20)
            ]
            print(f"{name:27s} {kind:22s}", "  ".join(f"{c:.2f}" for c in row))
