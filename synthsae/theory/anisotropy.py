"""One-term codes of a Gaussian block whose variances differ: which directions do latents take?

A block of rank R with covariance S = diag(l_1 >= ... >= l_R) that has m latents, of which one fires
in a sample, with the best non-negative magnitude. With unit atoms a_1 ... a_m the loss is

    L = tr S - E max_i max(<x, a_i>, 0)^2,

so atoms share the samples among cells and each wants to be the principal direction of its cell.
With equal variances no rotation changes L. Otherwise rotations cost, and seeds that minimise L
come to the same directions, though nothing is planted along these.

*Two dimensions, four latents.* By symmetry the atoms are an X about the major axis,
+-(cos d, sin d) and +-(cos d, -sin d). The larger of the two squared projections is
x_1^2 cos^2 d + x_2^2 sin^2 d + 2 |x_1 x_2| sin d cos d, and E |x_1 x_2| is
c = (2 / pi) sqrt(l_1 l_2) for a Gaussian. Its mean is the quadratic form of [[l_1, c], [c, l_2]] at
(cos d, sin d), so d is the angle of the leading eigenvector: tan 2d = 2 c / (l_1 - l_2). Derived
here.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array, Rng
from synthsae.checks import array, count, in_range
from synthsae.geometry import unit


class Cross(NamedTuple):
    """Four latents in two dimensions, as an X about the major axis.

    Attributes:
        angle: between a latent and the major axis, in radians, [...]: from 0 to pi / 4.
        loss: least expected squared error of the one-term code, [...].
    """

    angle: Array
    loss: Array


def best_cross(major: ArrayLike, minor: ArrayLike) -> Cross:
    """The X that minimises the loss of a Gaussian block: rank 2, four latents, one active.

    Args:
        major: larger variance l_1, broadcast against `minor`.
        minor: smaller variance l_2.

    Returns:
        tan 2d = (4 / pi) sqrt(l_1 l_2) / (l_1 - l_2), and l_1 + l_2 minus the largest eigenvalue of
        [[l_1, c], [c, l_2]] with c = (2 / pi) sqrt(l_1 l_2). At l_1 = l_2 the angle is pi / 4, and
        every rotation of the X is as good.
    """
    a, b = np.broadcast_arrays(in_range("major", major, 0), in_range("minor", minor, 0))
    c = 2 / np.pi * np.sqrt(a * b)
    angle = np.arctan2(2 * c, a - b) / 2
    return Cross(angle, (a + b) / 2 - np.hypot((a - b) / 2, c))


def one_term_atoms(
    variances: ArrayLike, m: int, rng: Rng, n_samples: int = 20_000, n_rounds: int = 300
) -> Array:
    """Atoms that minimise the loss of the one-term code of a Gaussian block, from a random start.

    Lloyd's algorithm: each sample goes to the atom with the largest projection, and each atom
    becomes the leading eigenvector of the second moment of its samples. Neither step raises the
    loss on the samples. The end is a local minimum, which depends on the start; codes from several
    starts say how often latents come back among minimisers.

    Args:
        variances: variances l_i along the axes, [R].
        m: number of atoms.
        rng: generator or seed, which draws the start and the samples.
        n_samples: Gaussian samples that stand for the population.
        n_rounds: rounds at most; ends earlier where no sample changes its atom.

    Returns:
        Unit atoms [m, R]. An atom that no sample goes to stays where it is.
    """
    scale = np.sqrt(in_range("variances", array("variances", variances, "[R]"), 0))
    rng = np.random.default_rng(rng)
    x = rng.standard_normal((count("n_samples", n_samples), len(scale))) * scale
    atoms = unit(rng.standard_normal((count("m", m), len(scale))))
    before = np.full(len(x), -1)
    for _ in range(count("n_rounds", n_rounds)):
        cell = (x @ atoms.T).argmax(axis=1)
        if (cell == before).all():
            break
        before = cell
        for i in np.unique(cell):
            own = x[cell == i]
            lead = np.linalg.eigh(own.T @ own)[1][:, -1]
            atoms[i] = lead * np.sign((own @ lead).sum() or 1.0)
    return atoms


def axis_closeness(atoms: ArrayLike) -> Array:
    """Largest absolute coordinate of each unit atom, [..., m]: its cosine with the nearest axis."""
    return np.abs(array("atoms", atoms, "[..., m, R]")).max(axis=-1)
