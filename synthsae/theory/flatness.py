"""Loss flatness: how much the loss grows if a dictionary is rotated inside its block.

Where the loss does not grow, the axes of the block are not identifiable.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from synthsae.arrays import Array, Rng
from synthsae.checks import array, between, count, of_shape, orthonormal_columns
from synthsae.geometry import haar


def generalised_normal(beta: float, size: tuple[int, ...] | int, rng: np.random.Generator) -> Array:
    """Draws of unit variance with density ~ exp(-|c / alpha|^beta), of shape `size`.

    |c| = alpha G^(1 / beta) with G ~ Gamma(1 / beta), alpha = sqrt(Gamma(1/beta) / Gamma(3/beta)).
    beta = 2 is N(0, 1), 1 is Laplace, infinity is uniform on [-sqrt 3, sqrt 3].
    """
    if beta == np.inf:
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size)
    b = between("beta", beta, 0, strict=True)
    alpha = np.exp((gammaln(1 / b) - gammaln(3 / b)) / 2)
    magnitude = alpha * rng.standard_gamma(1 / b, size) ** (1 / b)
    return np.where(rng.random(size) < 0.5, -magnitude, magnitude)


def frame_loss(codes: ArrayLike, frame: ArrayLike, k: int, l1: float = 0.0) -> float:
    """Mean over samples of min_a ||c - frame a||^2 + l1 |a|_1, with at most k non-zeros in a.

    The dictionary is an orthonormal frame with both signs of each atom. Coordinates y = frame^T c
    separate, and an active one lowers the loss by ((|y_i| - l1 / 2)+)^2, so the k largest |y_i| are
    optimal, without iterations.

    Args:
        codes: samples c of the code inside the block, [n, R].
        frame: orthonormal columns, [R, R].
        k: largest number of active atoms.
        l1: weight of the l1 penalty.
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
    """Loss of a Haar-rotated frame minus the loss of `reference`, on the same samples, [draws].

    The mean is the flatness of the block. It is zero for O(R)-invariant laws, and for any law where
    sparsity does not bind (k >= R, no l1). For generalised-normal codes it is positive for beta <
    2, where the axes are the sparsest choice, and negative for beta > 2, where they are the worst.

    Args:
        codes: samples of the code inside the block, [n, R].
        k: largest number of active atoms.
        l1: weight of the l1 penalty.
        reference: orthonormal columns, [R, R]; None stands for the axes.
        draws: number of rotations.
        rng: a generator or a seed.
    """
    x = array("codes", codes, "[n, R]")
    rank = x.shape[1]
    start = frame_loss(x, np.eye(rank) if reference is None else reference, k, l1)
    turns = haar(rank, np.random.default_rng(rng), (count("draws", draws),))
    return np.array([frame_loss(x, q, k, l1) for q in turns]) - start
