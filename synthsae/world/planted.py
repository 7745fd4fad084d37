"""The truth: what a world plants, drawn from its seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthsae.arrays import Array
from synthsae.geometry import haar, tight_frame, unit
from synthsae.world import copula, trees
from synthsae.world.config import WorldConfig


@dataclass(eq=False)
class Planted:
    """What is planted, as arrays.

    Attributes:
        config: what was asked for.
        isolated: directions of the isolated features, [F, D].
        bases: orthonormal basis of each block's subspace, [G, D, R].
        atoms: directions of the sparse law's features, [G, m, D]; m = 0 under the other laws.
        planes: orthonormal basis of each circle's plane, [C, D, 2].
        bias: the constant part of every sample, [D].
        loadings: A of the copula's correlations A A^T + diag(1 - |a_i|^2), [F, r]; r = 0 without.
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
    """Draw what `c` plants.

    Blocks and the planes of circles are mutually orthogonal. Isolated features, and the atoms
    inside a sparse block, are orthonormal where they fit and a tight frame where they do not
    (`geometry.tight_frame`), unless `incoherence_steps` leaves the features nearer to random.
    """
    in_blocks = c.n_blocks * c.rank
    spent = in_blocks + 2 * c.n_circles
    axes = haar(c.d_model, rng)
    bases = axes[:, :in_blocks].reshape(c.d_model, c.n_blocks, c.rank).transpose(1, 0, 2)
    planes = axes[:, in_blocks:spent].reshape(c.d_model, c.n_circles, 2).transpose(1, 0, 2)
    room = axes if c.leaning else axes[:, spent:]
    isolated = np.zeros((0, c.d_model))
    if c.n_isolated:
        isolated = spread(c.n_isolated, room.shape[1], c.incoherence_steps, rng) @ room.T
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
        c.bias * room @ unit(rng.standard_normal(room.shape[1])),
        copula.loadings(c, rng),
        np.abs(rng.normal(c.magnitude_sd, c.magnitude_sd_spread, c.n_isolated)),
    )


def spread(n: int, d: int, steps: int | None, rng: np.random.Generator) -> Array:
    """`n` unit rows in R^d: independent random ones after `steps` steps of orthogonalisation.

    A step is one of gradient descent on the sum of squared cosines, of the length that makes it a
    Newton-Schulz step to the polar factor: W <- W (3 - W^T W / s^2) / 2 with the largest singular
    value s; the limit is a tight frame. `None` goes to the polar factor of the same random numbers
    at once (`geometry.tight_frame`).
    """
    if steps is None:
        return tight_frame(n, d, rng)
    w = unit(rng.standard_normal((n, d)))
    for _ in range(steps):
        gram = w.T @ w
        w = unit(1.5 * w - 0.5 / np.linalg.norm(gram, 2) * w @ gram)
    return w
