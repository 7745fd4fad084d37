"""Flatness of the loss under rotations, and the exact solver that it is compared with."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy import integrate, optimize
from scipy import stats as scipy_stats
from sparse_coding import exact_l0_loss

from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.geometry import Array, haar, unit


def laws(beta: float, n: int = 40_000, rank: int = 4) -> Array:
    return theory.generalised_normal(beta, (n, rank), np.random.default_rng(0))


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0, 3.0, 8.0, np.inf])
def test_generalised_normal_is_its_density(beta: float) -> None:
    x = theory.generalised_normal(beta, 4000, np.random.default_rng(1))
    if beta == np.inf:
        law = scipy_stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))
    else:
        law = scipy_stats.gennorm(beta)
        law = scipy_stats.gennorm(beta, scale=1 / law.std())
    assert law.std() == pytest.approx(1)
    assert scipy_stats.kstest(x, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("beta", "axes", "rotated"),
    # the notes print .316 .525, .641 .545, .757 .536: their sample's energy was up to 2.5% off
    [(1.0, 0.316, 0.525), (3.0, 0.641, 0.545), (8.0, 0.757, 0.536)],
)
def test_flatness_reference(beta: float, axes: float, rotated: float) -> None:
    codes = laws(beta)
    loss = theory.frame_loss(codes, np.eye(4), 2)
    mean = loss + theory.rotation_excess(codes, 2, draws=40).mean()
    assert loss == pytest.approx(axes, rel=0.03)
    assert mean == pytest.approx(rotated, rel=0.03)
    assert loss / mean == pytest.approx(axes / rotated, rel=0.01)


def test_frame_loss_by_quadrature() -> None:
    # R = 2, k = 1: E min(x^2, y^2) = int P(|x| > sqrt u)^2 du
    for beta in (1.0, 2.0, 4.0):
        law = scipy_stats.gennorm(beta, scale=1 / scipy_stats.gennorm(beta).std())
        expected = integrate.quad(lambda u, law=law: (2 * law.sf(np.sqrt(u))) ** 2, 0, np.inf)[0]
        codes = laws(beta, rank=2)
        error = (codes**2).min(axis=1).std() / np.sqrt(len(codes))
        assert abs(theory.frame_loss(codes, np.eye(2), 1) - expected) <= 4 * error


def test_frame_loss_is_the_exact_loss_of_atoms_of_both_signs() -> None:
    codes, frame = laws(1.0, 200), haar(4, np.random.default_rng(3))
    atoms = np.concatenate([frame.T, -frame.T])
    for k in (1, 2, 3, 4):
        exact = exact_l0_loss(codes, atoms, k).mean()
        assert theory.frame_loss(codes, frame, k) == pytest.approx(exact, abs=1e-12)
    assert theory.frame_loss(codes, frame, 0) == pytest.approx((codes**2).sum(axis=1).mean())


def test_frame_loss_with_l1_is_the_minimum_over_codes() -> None:
    codes, frame, l1 = laws(1.0, 20, 3), haar(3, np.random.default_rng(3)), 0.8

    def best(c: Array) -> float:
        def loss(a: Array) -> float:  # a split into its positive and negative parts
            return float(np.sum((c - frame @ (a[:3] - a[3:])) ** 2) + l1 * a.sum())

        return optimize.minimize(loss, np.full(6, 0.5), bounds=[(0, None)] * 6, tol=1e-12).fun

    expected = np.mean([best(c) for c in codes])
    assert theory.frame_loss(codes, frame, 3, l1) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("gaussian", lambda g: g.standard_normal((60_000, 4))),
        (
            "isotropic",
            lambda g: unit(g.standard_normal((60_000, 4))) * g.exponential(size=(60_000, 1)),
        ),
    ],
)
@pytest.mark.parametrize(("k", "l1"), [(1, 0.0), (2, 0.0), (4, 0.7)])
def test_invariant_laws_are_flat(name: str, codes: Callable, k: int, l1: float) -> None:
    x = codes(np.random.default_rng(0))
    excess = theory.rotation_excess(x, k, l1, draws=30)
    energy = (x**2).sum(axis=1)
    error = energy.std() / np.sqrt(len(x))  # of a paired difference: an upper bound
    assert np.abs(excess).max() <= 3 * error
    assert np.abs(excess).max() > 0


@pytest.mark.parametrize("beta", [0.7, 1.0, 8.0])
def test_laws_without_binding_sparsity_are_flat(beta: float) -> None:
    np.testing.assert_allclose(theory.rotation_excess(laws(beta, 500), 4, draws=5), 0, atol=1e-12)
    np.testing.assert_allclose(theory.rotation_excess(laws(beta, 500), 9, draws=5), 0, atol=1e-12)


def test_flatness_changes_sign_at_two() -> None:
    means = [theory.rotation_excess(laws(b), 2, draws=20).mean() for b in (0.5, 1, 1.5, 2, 3, 8)]
    assert (np.diff(means) < 0).all()
    assert min(means[:3]) > 0.05
    assert abs(means[3]) < 0.005
    assert max(means[4:]) < -0.05
    with_l1 = [theory.rotation_excess(laws(b), 4, 1.0, draws=20).mean() for b in (1, 2, 8)]
    assert with_l1[0] > 0.05 > 0.01 > abs(with_l1[1])
    assert with_l1[2] < -0.05


@pytest.mark.parametrize("beta", [1.0, 8.0])
def test_no_rotation_beats_the_minimiser_as_reference(beta: float) -> None:
    codes = laws(beta, 4000, 2)
    turns = np.linspace(0, np.pi / 2, 181)
    frames = [np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) for t in turns]
    losses = [theory.frame_loss(codes, f, 1) for f in frames]
    best = int(np.argmin(losses))
    excess = theory.rotation_excess(codes, 1, reference=frames[best], draws=50)
    assert excess.min() >= -1e-4  # a degree of resolution
    # the axes below beta = 2, the diagonals above
    off = np.degrees(turns[best]) % 45 if beta > 2 else np.degrees(turns[best]) % 90
    assert min(off, (45 if beta > 2 else 90) - off) <= 5
    assert (abs(np.degrees(turns[best]) - 45) <= 5) == (beta > 2)


# The exact solver


@pytest.mark.parametrize("k", [1, 2, 3])
def test_exact_l0_loss_against_nonnegative_least_squares(k: int) -> None:
    rng = np.random.default_rng(k)
    x, atoms = rng.standard_normal((15, 3)), unit(rng.standard_normal((6, 3)))
    atoms[5] = atoms[4]  # dependent atoms are allowed
    mine = exact_l0_loss(x, atoms, k)
    for sample, loss in zip(x, mine, strict=True):
        best = min(
            optimize.nnls(atoms[list(s)].T, sample)[1] ** 2 for s in combinations(range(6), k)
        )
        assert loss == pytest.approx(best, abs=1e-9)


def test_exact_l0_loss_limits() -> None:
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 2.0]])
    np.testing.assert_allclose(exact_l0_loss(x, [[1.0, 0.0]], 5), [0, 1, 4])
    np.testing.assert_allclose(exact_l0_loss(x, 3 * np.eye(2), 2), [0, 1, 0])
    np.testing.assert_allclose(exact_l0_loss(x, np.eye(2), 1), [0, 1, 1])


CODES = np.ones((5, 3))


BAD = [
    (lambda: theory.generalised_normal(0, 3, np.random.default_rng(0)), "beta"),
    (lambda: theory.frame_loss(np.ones(3), np.eye(3), 1), "codes"),
    (lambda: theory.frame_loss(np.nan * CODES, np.eye(3), 1), "codes"),
    (lambda: theory.frame_loss(CODES, np.eye(4), 1), "frame"),
    (lambda: theory.frame_loss(CODES, 2 * np.eye(3), 1), "frame"),
    (lambda: theory.frame_loss(CODES, np.eye(3), -1), "k"),
    (lambda: theory.frame_loss(CODES, np.eye(3), 1, -0.5), "l1"),
    (lambda: theory.rotation_excess(CODES, 1, draws=0), "draws"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_an_error_names_the_argument(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.field == argument
