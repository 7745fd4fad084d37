import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from strategies import stacks

from synthsae import geometry
from synthsae.metrics import latent, reappearance, subspace


def brute_force(x, theta, live):
    """p_hat as it is written down."""
    n, m, _ = x.shape
    out = np.full((n, m), np.nan)
    for s in range(n):
        for i in np.flatnonzero(live[s]):
            others = [t for t in range(n) if t != s]
            hits = [
                any(
                    latent.cosines(x[s, i : i + 1], x[t, j : j + 1]) >= theta
                    for j in range(m)
                    if live[t, j]
                )
                for t in others
            ]
            out[s, i] = np.mean(hits)
    return out


@given(stacks(most=6), st.sampled_from([-0.5, 0.0, 0.3, 0.7, 0.95]), st.integers(1, 4))
def test_p_hat_is_its_definition(stack, theta, block):
    x, live, _ = stack
    got = reappearance.reappearance(x, theta, live, block=block)
    np.testing.assert_array_equal(got, brute_force(x, theta, live))
    np.testing.assert_array_equal(latent.reappearance(x, theta, live), got)


@given(stacks(most=20), st.integers(1, 30))
def test_blocks_torch_and_float32_give_the_same(stack, block):
    x, live, _ = stack
    want = reappearance.found(x, live=live)
    np.testing.assert_array_equal(reappearance.found(x, live=live, block=block), want)
    tensor = torch.from_numpy(x).requires_grad_()
    np.testing.assert_array_equal(reappearance.found(tensor, live=live, block=block), want)
    np.testing.assert_array_equal(
        reappearance.found(torch.from_numpy(x.astype(np.float32)), live=live),
        reappearance.found(x.astype(np.float32), live=live),
    )


@given(stacks())
def test_invariances(stack):
    x, live, rng = stack
    _, m, d = x.shape
    p = reappearance.reappearance(x, live=live)
    order, q = rng.permutation(m), geometry.haar(d, rng)
    y = x[:, order] * rng.uniform(0.01, 100, (3, m, 1)) @ q
    np.testing.assert_array_equal(reappearance.reappearance(y, live=live[:, order]), p[:, order])
    np.testing.assert_array_equal(np.isnan(p), ~live)
    assert set(np.unique(p[live])) <= {0.0, 0.5, 1.0}
    stricter = reappearance.reappearance(x, 0.9, live)
    assert (stricter[live] <= p[live]).all()


@given(stacks(n_seeds=4), st.booleans())
def test_pairs_of_seeds_can_be_computed_one_by_one(stack, absolute):
    x, live, _ = stack
    whole = reappearance.nearest(x, 0.7, live, absolute=absolute)
    for s, t in itertools.combinations(range(4), 2):
        pair = reappearance.nearest(x[[s, t]], 0.7, live[[s, t]], absolute=absolute)
        np.testing.assert_array_equal(pair.found[[0, 1], [1, 0]], whole.found[[s, t], [t, s]])
        np.testing.assert_array_equal(pair.mmcs[[0, 1], [1, 0]], whole.mmcs[[s, t], [t, s]])


def test_found_by_hand():
    x = np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0.1]], [[0, 3], [-1, 0]]], dtype=float)
    hits = latent.found(x)
    assert hits.dtype == bool
    assert hits[[0, 1, 2], [0, 1, 2]].all()
    np.testing.assert_array_equal(hits[0, 1], [True, False])  # many-to-one, and signed
    np.testing.assert_array_equal(hits[1, 0], [True, True])
    np.testing.assert_array_equal(hits[0, 2], [False, True])
    np.testing.assert_array_equal(hits[2, 0], [True, False])
    np.testing.assert_array_equal(latent.reappearance(x), [[0.5, 0.5], [0.5, 0.5], [0.5, 0]])


@given(stacks(), st.sampled_from([0.3, 0.7, 0.95]), st.integers(1, 30))
def test_absolute_cosines_are_those_of_a_latent_or_its_negative(stack, theta, block):
    x, live, _ = stack
    both, alive = np.concatenate([x, -x], axis=1), np.tile(live, 2)
    want = reappearance.found(both, theta, alive)[..., : x.shape[1]]
    got = reappearance.found(x, theta, live, block, absolute=True)
    np.testing.assert_array_equal(got, want)


def test_float64_decides_near_theta_for_negatives_too():
    x = np.array([[[1.0, 0.0]], [[-0.7, -np.sqrt(1 - 0.49)]]])
    assert reappearance.found(x, 0.7, absolute=True).all()
    x[1, 0] = -0.7 + 1e-9, -np.sqrt(1 - (0.7 - 1e-9) ** 2)
    assert not reappearance.found(x, 0.7, absolute=True)[0, 1].any()


def test_dead_latents_are_no_partners():
    x = np.stack([np.eye(3)] * 3)
    live = np.array([[True] * 3, [True, True, False], [False] * 3])
    np.testing.assert_array_equal(
        latent.reappearance(x, live=live), [[0.5, 0.5, 0], [0.5, 0.5, np.nan], [np.nan] * 3]
    )
    assert not latent.found(x, live=live)[2].any()


def test_zero_rows_have_cosine_zero():
    x = np.zeros((2, 2, 3))
    x[:, 0] = [1, 0, 0]
    np.testing.assert_array_equal(latent.reappearance(x), [[1, 0], [1, 0]])
    np.testing.assert_array_equal(latent.reappearance(x, theta=0), [[1, 1], [1, 1]])


@given(st.integers(0, 99))
def test_copies_reappear_at_theta_one(seed):
    x = np.random.default_rng(seed).standard_normal((1, 9, 17))
    np.testing.assert_array_equal(
        latent.reappearance(np.concatenate([x, 3 * x[:, ::-1]]), theta=1), 1
    )


def test_float64_decides_near_theta():
    """Cosines of theta +- 1e-9 are told apart: float32 has them equal."""
    rng = np.random.default_rng(0)
    q = geometry.haar(64, rng)
    theta, m = 0.7, 32
    step = np.where(np.arange(m) % 2, 1e-9, -1e-9)
    c = theta + step
    second = c[:, None] * q[:m] + np.sqrt(1 - c**2)[:, None] * q[m : 2 * m]
    x = np.stack([q[:m], second])
    for block in (5, 1024):
        hits = latent.found(x, theta)[0, 1], reappearance.found(x, theta, block=block)[1, 0]
        for hit in hits:
            np.testing.assert_array_equal(hit, step > 0)


def test_products_of_low_precision_are_refused(monkeypatch):
    x = np.random.default_rng(0).standard_normal((2, 8, 64))
    monkeypatch.setattr(reappearance, "margin", lambda d: 1e-12)
    with pytest.raises(ValueError, match="TF32"):
        latent.found(x)


def test_the_error_bound_holds():
    rng = np.random.default_rng(0)
    for d in (2, 16, 768):
        x, y = geometry.unit(rng.standard_normal((2, 300, d)))
        got = x.astype(np.float32) @ y.astype(np.float32).T
        assert np.abs(got - x @ y.T).max() <= reappearance.margin(d)


@pytest.mark.parametrize("rank", [2, 3, 4, 6])
def test_rotating_a_block_keeps_the_subspace_and_loses_the_latents(rank):
    """The separating test: p_hat falls to the coverage law m A_R, the angles stay 0.

    One code of m atoms, pairwise at 91.15 degrees or more where the caps are to be disjoint, is
    copied to many seeds and rotated inside the block in each. 60 seeds give 60 * 59 rigid pairs.
    """
    rng = np.random.default_rng(rank)
    d, n = 24, 60
    basis = geometry.haar(d, rng)[:, :rank]
    atoms = np.eye(rank)[:2] * [[1], [-1]]  # two caps that cannot overlap: 90 deg for R >= 2
    atoms[1, 0] = -np.tan(np.deg2rad(1.2))
    atoms = geometry.unit(atoms)
    share = 2 * betainc((rank - 1) / 2, 0.5, 1 - 0.7**2) / 2

    same = np.stack([atoms @ basis.T] * n)
    rotated = np.stack([atoms @ q @ basis.T for q in geometry.haar(rank, rng, (n,))])
    np.testing.assert_array_equal(latent.reappearance(same), 1)
    per_seed = latent.reappearance(rotated).mean(axis=1)
    # pairs of seeds are independent given one of the two, so n (n - 1) / 2 pairs of two atoms
    error = np.sqrt(share * (1 - share) / (n * (n - 1) / 2))
    assert per_seed.mean() == pytest.approx(share, abs=4 * error)

    whole = np.stack([np.eye(rank) @ q @ basis.T for q in geometry.haar(rank, rng, (3,))])
    for rows in whole:
        span = subspace.learned_span(rows, rank)
        np.testing.assert_allclose(subspace.recovery_angles(span, basis), 0, atol=1e-7)
        assert subspace.overlap(span, basis) == pytest.approx(1)


def test_labels():
    p = [0, 0.05, 0.06, 0.5, 0.94, 0.95, 1, np.nan, 19 / 20, 1 / 20]
    want = ["unstable"] * 2 + ["middle"] * 3 + ["stable"] * 2 + ["dead", "stable", "unstable"]
    np.testing.assert_array_equal(reappearance.labels(p), want)
    np.testing.assert_array_equal(
        reappearance.labels([0.1, 0.2, 0.8, 0.9], 0.8, 0.2),
        ["unstable", "unstable", "stable", "stable"],
    )


def test_metrics_import_no_torch():
    code = (
        "import sys, pkgutil, importlib, synthsae.metrics as m\n"
        "names = [m.__name__ + '.' + f.name for f in pkgutil.iter_modules(m.__path__)]\n"
        "for name in names: importlib.import_module(name)\n"
        "bad = {'torch', 'xarray', 'synthsae.world', 'synthsae.train', 'synthsae.theory'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
