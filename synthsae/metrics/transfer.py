"""Subspace transfer: the energy of one seed's directions in the subspace of another seed's.

A curve is indexed by the dimension r = 0..D of the subspace. Compare it with three nulls: r / D,
the mean of `random_transfer`; the spread of `random_transfer`; and `matched_transfer`, for as many
directions from another set, such as stable ones. Transfer is evidence only above all three.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown
from synthsae.geometry import haar, unit
from synthsae.metrics.rank import singular


class Target(NamedTuple):
    """What curves need to know of a target of n directions.

    Attributes:
        energy: sum of d d^T over its unit rows, [D, D].
        n: their number.
    """

    energy: Array
    n: int


def target_of(directions: ArrayLike) -> Target:
    """The `Target` of directions [m, D]; those of several sets of directions can be added up."""
    d = unit(checks.array("target", directions, "[m, D]"))
    return Target(d.T @ d, len(d))


def transfer_curve(source: ArrayLike, target: ArrayLike | Target) -> Array:
    """Energy of `target` in the top-r right singular subspace of `source`, r = 0..D, [D + 1].

    curve[r] = mean over unit rows d of target of ||V_r^T d||^2. It rises from 0 at r = 0 and is
    flat beyond the rank of the source. Gerasimov et al. (arXiv 2606.12138) apply it to the unstable
    directions of two seeds.

    Args:
        source: directions of one seed, [n, D].
        target: directions of another seed, [m, D], m >= 1, or their `target_of`, which saves time
            where several sources have the same target.
    """
    x, y = _pair(source, target)
    if not x.size:
        return np.zeros(x.shape[1] + 1)
    s, axes = singular(unit(x))
    return _captured(y, axes[s > s[0] * max(x.shape) * np.finfo(float).eps])


def random_transfer(
    target: ArrayLike | Target, rng: np.random.Generator, draws: int = 100
) -> Array:
    """`transfer_curve` from Haar-random nested subspaces of R^D, [draws, D + 1].

    The mean is r / D. `target` as in `transfer_curve`.
    """
    y = target if isinstance(target, Target) else target_of(target)
    checks.count("draws", draws)
    return np.stack([_captured(y, haar(len(y.energy), rng)) for _ in range(draws)])


def matched_transfer(
    pool: ArrayLike,
    target: ArrayLike | Target,
    n: int,
    rng: np.random.Generator,
    draws: int = 100,
) -> Array:
    """`transfer_curve` from n rows of `pool` drawn without replacement, [draws, D + 1].

    If the pool is the stable latents of the source seed and n the number of its unstable latents,
    this is the row-matched null.

    Args:
        pool: directions to draw from, [N, D].
        target: as in `transfer_curve`.
        n: rows to draw, at most N.
        rng: generator.
        draws: number of curves.
    """
    x, y = _pair(pool, target)
    checks.count("draws", draws)
    if checks.count("n", n) > len(x):
        raise ConfigError("n", Shown(f"{n}"), f"1 to {len(x)}, the rows of pool")
    picks = (rng.choice(len(x), n, replace=False) for _ in range(draws))
    return np.stack([transfer_curve(x[rows], y) for rows in picks])


def _captured(target: Target, axes: Array) -> Array:
    """Cumulative mean energy of the target along orthonormal axes [k, D], [D + 1]; flat from k."""
    if not target.n:
        raise ConfigError("target", Shown("no rows"), "one row or more")
    energy = np.zeros(len(target.energy) + 1)
    energy[1 : len(axes) + 1] = np.sum((axes @ target.energy) * axes, axis=1) / target.n
    return np.cumsum(energy)


def _pair(source: ArrayLike, target: ArrayLike | Target) -> tuple[Array, Target]:
    """Source and target with rows of equal length."""
    x = checks.array("source", source, "[n, D]")
    y = target if isinstance(target, Target) else target_of(target)
    checks.same_shape("target's rows", y.energy.shape[1:], "source's rows", x.shape[1:])
    return x, y
