import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score
from strategies import generators

from synthsae.metrics import function, masking


def sae_batch(rng, b=40, m=7, d=5):
    """Samples, a reconstruction that errs, codes that are 0 half of the time, decoder rows."""
    codes = np.maximum(rng.standard_normal((b, m)), 0)
    decoder = rng.standard_normal((m, d))
    bias = rng.standard_normal(d)
    x_hat = codes @ decoder + bias
    return x_hat + 0.3 * rng.standard_normal((b, d)) + 5, x_hat, codes, decoder


@given(generators(), st.integers(1, 39))
def test_explained_variance_equals_scikit_learn_and_adds_up(rng, cut):
    x, x_hat, _, _ = sae_batch(rng)
    want = r2_score(x, x_hat, multioutput="variance_weighted")
    assert function.explained_variance(x, x_hat) == pytest.approx(want)
    assert function.fvu(x, x_hat) == pytest.approx(1 - want)
    thirds = [function.Residual.of(x[i::3], x_hat[i::3]) for i in range(3)]
    joined = thirds[0] + thirds[1] + thirds[2]
    assert joined.fvu == pytest.approx(1 - want)
    np.testing.assert_allclose(joined.mean, x.mean(axis=0))
    parts = function.Residual.of(x[:cut], x_hat[:cut]) + function.Residual.of(x[cut:], x_hat[cut:])
    assert parts.n == 40
    assert parts.fvu == pytest.approx(1 - want)
    far = function.Residual.of(x[:cut] + 1e6, x_hat[:cut] + 1e6)
    far += function.Residual.of(x[cut:] + 1e6, x_hat[cut:] + 1e6)
    assert far.fvu == pytest.approx(1 - want, rel=1e-6)


def test_explained_variance_by_hand():
    x = np.array([[0.0, 0], [2, 0], [0, 4], [2, 4]])  # mean (1, 2), scatter 4 * 5
    assert function.explained_variance(x, x) == 1
    assert function.explained_variance(x, np.broadcast_to([1.0, 2], x.shape)) == 0
    assert function.explained_variance(x, x + np.array([1, 0])) == pytest.approx(1 - 4 / 20)
    assert function.explained_variance(x, -x) == pytest.approx(1 - 4 * 40 / 20)
    assert np.isnan(function.explained_variance(np.ones((3, 2)), np.zeros((3, 2))))


def test_seeds_broadcast_over_shared_samples():
    rng = np.random.default_rng(0)
    x, x_hat = rng.standard_normal((30, 4)), rng.standard_normal((3, 30, 4))
    got = function.explained_variance(x, x_hat)
    np.testing.assert_allclose(got, [function.explained_variance(x, y) for y in x_hat])
    own = rng.standard_normal((3, 30, 4))
    np.testing.assert_allclose(
        function.explained_variance(own, x_hat)[2], function.explained_variance(own[2], x_hat[2])
    )


def test_rates_l0_live_and_dead_by_hand():
    codes = np.array([[[1, 0, -2, 0], [3, 0, 0, 0]], [[0, 0, 0, 0], [1, 1, 1, 0]]], dtype=float)
    rates = function.firing_rates(codes)
    np.testing.assert_array_equal(rates, [[1, 0, 0.5, 0], [0.5, 0.5, 0.5, 0]])
    np.testing.assert_array_equal(function.l0(codes), [1.5, 1.5])
    deep = np.broadcast_to(codes, (3, *codes.shape))
    np.testing.assert_array_equal(function.l0(deep), np.full((3, 2), 1.5), strict=True)
    dead = function.dead_fraction(function.firing_rates(deep))
    np.testing.assert_array_equal(dead, np.tile([0.5, 0.25], (3, 1)), strict=True)
    np.testing.assert_array_equal(function.dead_fraction(rates), [0.5, 0.25])
    np.testing.assert_array_equal(function.dead_fraction(rates, 0.6), [0.75, 1])
    np.testing.assert_array_equal(function.live([1e-4, 0.99e-4, 1, 0]), [True, False, True, False])


@given(generators())
def test_removal_and_masking_equal_zeroing(rng):
    x, x_hat, codes, decoder = sae_batch(rng)
    whole = function.explained_variance(x, x_hat)

    def zeroed(latents):
        kept = codes.copy()
        kept[:, latents] = 0
        return function.explained_variance(x, x_hat + (kept - codes) @ decoder)

    costs = masking.removal_costs(x, x_hat, codes, decoder)
    np.testing.assert_allclose(costs, [whole - zeroed([i]) for i in range(7)])
    order = rng.permutation(7)[:5]
    curve = masking.masking_curve(x, x_hat, codes, decoder, order)
    np.testing.assert_allclose(curve, [zeroed(order[:n]) for n in range(6)])
    halves = [
        masking.masking_errors(x[s], x_hat[s], codes[s], decoder, order)
        for s in (slice(15), slice(15, None))
    ]
    np.testing.assert_allclose(1 - (halves[0] + halves[1]).fvu, curve)
    alone = [
        masking.removal_errors(x[s], x_hat[s], codes[s], decoder) for s in (slice(9), slice(9, 40))
    ]
    np.testing.assert_allclose((alone[0] + alone[1]).fvu - 1 + whole, costs)


def test_masking_leaves_its_arguments_alone():
    args = sae_batch(np.random.default_rng(0))
    before = [a.copy() for a in args]
    masking.masking_curve(*args, [3, 1])
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


@given(generators())
def test_a_decoder_at_its_optimum_makes_the_cost_of_a_latent_its_energy(rng):
    """Where no change of w (here: least squares) helps, mean z e is 0, so 2 z <e, w> is too."""
    x, _, codes, _ = sae_batch(rng)
    design = np.column_stack([codes, np.ones(len(x))])
    decoder = np.linalg.lstsq(design, x, rcond=None)[0]
    costs = masking.removal_costs(x, design @ decoder, codes, decoder[:-1])
    energy = np.sum(codes**2, axis=0) * np.sum(decoder[:-1] ** 2, axis=1)
    scatter = np.sum((x - x.mean(axis=0)) ** 2)
    np.testing.assert_allclose(costs, energy / scatter, atol=1e-9)


def test_masking_none_costs_nothing_and_masking_all_leaves_the_bias():
    x, x_hat, codes, decoder = sae_batch(np.random.default_rng(0))
    curve = masking.masking_curve(x, x_hat, codes, decoder, np.arange(7))
    bias = x_hat - codes @ decoder
    assert curve[0] == pytest.approx(function.explained_variance(x, x_hat))
    assert curve[-1] == pytest.approx(function.explained_variance(x, bias))
    none = masking.masking_curve(x, x_hat, codes, decoder, [])
    np.testing.assert_allclose(none, curve[:1])


LABELS = np.array(["stable"] * 5 + ["unstable"] * 3 + ["middle"] * 2 + ["dead"] * 6)


def test_masking_orders_are_nested_and_of_their_class():
    rates, rng = np.random.default_rng(1).uniform(0.01, 0.5, 16), np.random.default_rng(0)
    orders = masking.masking_orders(LABELS, rates, 4, rng)
    assert {k: (len(o.own), len(o.matched)) for k, o in orders.items()} == {
        "stable": (4, 4),
        "middle": (2, 2),
        "unstable": (3, 3),
    }
    for name, (own, matched) in orders.items():
        assert set(LABELS[own]) == {name}
        assert not set(LABELS[matched]) & {name, "dead"}
        for order in (own, matched):
            assert len(set(order)) == len(order)
    few = masking.masking_orders(np.array(["stable"] * 3 + ["dead"]), rates[:4], 2, rng)
    assert [len(o) for o in few["stable"]] == [2, 0]
    first = {int(masking.masking_orders(LABELS, rates, 1, rng)["stable"].own[0]) for _ in range(99)}
    assert first == set(range(5))


def test_matched_latents_are_the_nearest_in_log_rate():
    rates = np.array([0.1, 0.02, 0.11, 0.001, 0.05, 0.2])
    labels = np.array(["stable", "stable", "unstable", "unstable", "middle", "dead"])
    for seed in range(8):
        orders = masking.masking_orders(labels, rates, 2, np.random.default_rng(seed), near=1)
        nearest = {
            0: 2,
            1: 4,
        }  # .05 / .02 is below .02 / .001; .2 is dead; differences say the same
        assert [nearest[i] for i in orders["stable"].own] == list(orders["stable"].matched)
    far = np.array([0.1, 0.05, 0.21, 0.001])  # nearer in rate to .05, in log rate to .21
    names = np.array(["stable", "middle", "middle", "middle"])
    assert masking.masking_orders(
        names, far * [1, 0.9, 1, 1], 1, rng=np.random.default_rng(0), near=1
    )["stable"].matched == [2]
    drawn = {
        int(
            masking.masking_orders(names, far, 1, np.random.default_rng(i), near=2)[
                "stable"
            ].matched[0]
        )
        for i in range(50)
    }
    assert drawn == {1, 2}
