"""Loss flatness: what rotating a dictionary inside its block costs. Where nothing, it is lost."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from synthsae.arrays import Array, Rng
from synthsae.checks import array, between, count, of_shape, orthonormal_columns
from synthsae.geometry import haar


def generalised_normal(beta: float, size: tuple[int, ...] | int, rng: np.random.Generator) -> Array:
    """Unit-variance generalised-normal draws, density ~ exp(-|c / alpha|^beta), beta > 0.

    |c| = alpha G^(1 / beta) with G ~ Gamma(1 / beta), alpha = sqrt(Gamma(1/beta) / Gamma(3/beta)).
    beta 2 is N(0, 1), 1 Laplace, infinity uniform on [-sqrt 3, sqrt 3].
    """
    if beta == np.inf:
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size)
    b = between("beta", beta, np.nextafter(0, 1))
    alpha = np.exp((gammaln(1 / b) - gammaln(3 / b)) / 2)
    magnitude = alpha * rng.standard_gamma(1 / b, size) ** (1 / b)
    return np.where(rng.random(size) < 0.5, -magnitude, magnitude)


def frame_loss(codes: ArrayLike, frame: ArrayLike, k: int, l1: float = 0.0) -> float:
    """Mean loss of an orthonormal +- frame with the code re-solved: the best k of its 2R atoms.

    min over codes of ||c - frame a||^2 + l1 |a|_1. Coordinates y = frame^T c separate, and an
    active one gains ((|y_i| - l1 / 2)+)^2, so the k largest |y_i| are best: no gradient, no
    iteration. `codes` [n, R] samples of the block's law, `frame` [R, R] orthonormal columns. The
    standard error is the sample's, O(n^-1/2).
    """
    x, q = array("codes", codes, "[n, R]"), orthonormal_columns("frame", frame)
    of_shape("frame", q, f"[{x.shape[1]}, {x.shape[1]}]")
    active, penalty = min(count("k", k, 0), x.shape[1]), between("l1", l1, 0)
    gain = np.maximum(np.abs(x @ q) - penalty / 2, 0) ** 2
    best = np.sort(gain, axis=1)[:, x.shape[1] - active :]
    return float((x**2).sum(axis=1).mean() - best.sum(axis=1).mean())


def rotation_excess(
    codes: ArrayLike,
    k: int,
    l1: float = 0.0,
    *,
    reference: ArrayLike | None = None,
    draws: int = 64,
    rng: Rng = 0,
) -> Array:
    """Loss of a Haar-rotated frame minus that of `reference` (default: the axes), [draws].

    Its mean is the block's flatness: zero for O(R)-invariant laws, and for any law where sparsity
    does not bind (k >= R, no l1). For generalised-normal codes it is positive below beta = 2,
    where the axes are the sparser choice, and negative above, where they are the worst. Both
    losses use the same samples `codes` [n, R].
    """
    x = array("codes", codes, "[n, R]")
    rank = x.shape[1]
    start = frame_loss(x, np.eye(rank) if reference is None else reference, k, l1)
    turns = haar(rank, np.random.default_rng(rng), (count("draws", draws),))
    return np.array([frame_loss(x, q, k, l1) for q in turns]) - start
