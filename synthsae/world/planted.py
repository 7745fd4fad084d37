"""What a world plants: directions, subspaces and correlations, drawn from its seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthsae.arrays import Array
from synthsae.geometry import haar, tight_frame, unit
from synthsae.world import copula, trees
from synthsae.world.config import WorldConfig


@dataclass(eq=False)
class Planted:
    """The planted truth, as arrays.

    Attributes:
        config: the configuration.
        isolated: directions of the isolated features, [F, D].
        bases: orthonormal basis of each block's subspace, [G, D, R].
        atoms: directions of the sparse law's features, [G, m, D]; m = 0 under the other laws.
        planes: orthonormal basis of each circle's plane, [C, D, 2].
        bias: constant vector that is added to every sample, [D].
        loadings: A of the correlations A A^T + diag(1 - |a_i|^2) of the copula, [F, r]; r = 0
            without correlations.
        magnitude_sd: standard deviation of each isolated feature's normal magnitude, [F].
    """

    config: WorldConfig
    isolated: Array
    bases: Array
    atoms: Array
    planes: Array
    bias: Array
    loadings: Array
    magnitude_sd: Array

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.config.d_model

    @property
    def features(self) -> Array:
        """All planted features: the isolated ones, then the atoms block by block, [F + G m, D]."""
        return np.concatenate([self.isolated, self.atoms.reshape(-1, self.d_model)])

    @property
    def parent(self) -> NDArray[np.int64]:
        """The parent of each isolated feature, -1 for roots and features in no tree, [F]."""
        return trees.parents(self.config)


def plant(c: WorldConfig, rng: np.random.Generator) -> Planted:
    """Draw the truth that `c` describes.

    Blocks and the planes of circles are mutually orthogonal, but for pairs of blocks that meet at
    `block_angle`. The isolated features, and the atoms of one sparse block, are orthonormal if
    there are dimensions enough, and a tight frame otherwise (`geometry.tight_frame`). With
    `incoherence_steps`, isolated features are drawn by `spread`.
    """
    in_blocks = c.n_blocks * c.rank
    used = in_blocks + 2 * c.n_circles
    axes = haar(c.d_model, rng)
    bases = axes[:, :in_blocks].reshape(c.d_model, c.n_blocks, c.rank).transpose(1, 0, 2)
    if c.block_angle < 90:
        bases = _leant(bases, np.radians(c.block_angle))
    planes = axes[:, in_blocks:used].reshape(c.d_model, c.n_circles, 2).transpose(1, 0, 2)
    free = axes if c.leaning else axes[:, used:]
    isolated = np.zeros((0, c.d_model))
    if c.n_isolated:
        isolated = spread(c.n_isolated, free.shape[1], c.incoherence_steps, rng) @ free.T
    m = (c.n_atoms or c.rank) if c.law == "sparse" else 0
    atoms = np.zeros((c.n_blocks, m, c.d_model))
    for g in range(c.n_blocks if m else 0):
        atoms[g] = tight_frame(m, c.rank, rng) @ bases[g].T
    return Planted(
        c,
        isolated,
        np.ascontiguousarray(bases),
        atoms,
        np.ascontiguousarray(planes),
        c.bias * free @ unit(rng.standard_normal(free.shape[1])),
        copula.loadings(c, rng),
        np.abs(rng.normal(c.magnitude_sd, c.magnitude_sd_spread, c.n_isolated)),
    )


def _leant(bases: Array, angle: float) -> Array:
    """Orthogonal `bases` [G, D, R], the second of each pair turned towards the first.

    Axis i of both then meets at `angle`, in the plane that the two axes span.
    """
    out, pairs = bases.copy(), 2 * (len(bases) // 2)
    first, second = bases[0:pairs:2], bases[1:pairs:2]
    out[1:pairs:2] = np.cos(angle) * first + np.sin(angle) * second
    return out


def spread(n: int, d: int, steps: int | None, rng: np.random.Generator) -> Array:
    """`n` unit rows in R^d: independent random directions after `steps` steps of orthogonalisation.

    A step is gradient descent on the sum of squared cosines. Its step size makes it a Newton-Schulz
    step towards the polar factor, W <- W (3 - W^T W / s^2) / 2 with the largest singular value s of
    W, and then rows are normalised. The limit is a tight frame. With `steps` None, the result is
    the polar factor of the same random numbers (`geometry.tight_frame`).
    """
    if steps is None:
        return tight_frame(n, d, rng)
    w = unit(rng.standard_normal((n, d)))
    for _ in range(steps):
        gram = w.T @ w
        w = unit(1.5 * w - 0.5 / np.linalg.norm(gram, 2) * w @ gram)
    return w
