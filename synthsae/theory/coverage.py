"""The coverage law: how often a latent of an O(R)-invariant block reappears in another seed.

No rotation of a block's learned code is better than another. Under the conditions of
docs/science.md (section 5) two seeds therefore learn codes that differ by a Haar-random rotation.
Seen from the other seed, a latent is uniform on the block's sphere. The probability that it is
found is the share of that sphere within a cosine theta of a latent of the other seed: the share
that the caps of its code cover.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Array, Rng
from synthsae.checks import (
    ConfigError,
    Shown,
    between,
    count,
    in_range,
    mask,
    numbers,
    of_shape,
    orthonormal_columns,
    several_seeds,
    whole,
)
from synthsae.definitions import DEFAULTS
from synthsae.geometry import haar
from synthsae.theory.caps import cap_measure

_CELLS = 1 << 21  # cosines in memory at a time: 16 MiB


def coverage_closed(m: ArrayLike, rank: ArrayLike, theta: ArrayLike = DEFAULTS.theta) -> Array:
    """min(1, m A_R(theta)): coverage by m disjoint caps, an upper bound for any m atoms.

    Caps are disjoint if atoms are at least 2 arccos(theta) apart (91.15 degrees at .7), which
    learned atoms nearly are.

    Args:
        m: number, or mean number, of latents in the block, any real number of 0 or more.
        rank: rank R of the block.
        theta: least cosine of a match.
    """
    return np.minimum(1.0, in_range("m", m, 0) * cap_measure(rank, theta))


def coverage_independent(m: ArrayLike, rank: ArrayLike, theta: ArrayLike = DEFAULTS.theta) -> Array:
    """1 - (1 - A_R(theta))^m: expected coverage by m >= 0 independent uniform atoms."""
    return 1 - (1 - cap_measure(rank, theta)) ** in_range("m", m, 0)


def coverage_a_priori(
    rank: ArrayLike, latents_left: ArrayLike, theta: ArrayLike = DEFAULTS.theta
) -> Array:
    """`coverage_closed` before training, ASSUMING m = min(2R, `latents_left`) latents a block.

    m = 2R is the number of atoms of the cross-polytope +-e_i, the least with which a linear encoder
    is exact (`allocation.py`). It is an assumption where k binds: trained SAEs had m / R of 2.0 to
    2.2 up to R = 12, and 1.8 at R = 16, but 5 at k = 2 with latents to spare. `allocate` computes
    m, in minutes. `latents_left` is the number of latents that the other features leave to one
    block.
    """
    return coverage_closed(
        np.minimum(2 * whole("rank", rank), in_range("latents_left", latents_left, 0)), rank, theta
    )


def coverage_monte_carlo(
    directions: ArrayLike,
    live: ArrayLike,
    members: ArrayLike,
    basis: ArrayLike,
    theta: float = DEFAULTS.theta,
    *,
    draws: int = 64,
    rng: Rng = 0,
) -> Array:
    """Mean p_hat of a block's latents if each seed's code were Haar-rotated in it, [draws, S].

    Each draw gives each seed s a Haar rotation Q_s of span U and leaves the complement fixed. With
    c = U^T d, the cosine of latent i of seed s and latent j of seed t becomes <d_i, d_j> - <c_i,
    c_j> + <Q_s c_i, Q_t c_j>: whole directions, so energy outside the block counts. A member of s
    is found in t if any *live* latent of t is within `theta`; its p_hat is the mean over t != s.

    The mean of the result is the prediction. Codes move rigidly, so latents of a run are not
    independent: the standard deviation of a run's mean p_hat is that over draws of the mean over
    seeds.

    Args:
        directions: unit decoder directions, [S, M, D], S >= 2.
        live: which latents are live, bool [S, M].
        members: which latents are in the block, bool [S, M]; dead ones are ignored.
        basis: orthonormal columns U that span the block, [D, R].
        theta: least cosine of a match.
        draws: number of Monte Carlo draws.
        rng: a generator or a seed.

    Returns:
        A column for each seed; NaN for a seed without a live member.
    """
    u = orthonormal_columns("basis", basis)
    d = numbers("directions", directions)
    of_shape("directions", d, f"[S, M, {u.shape[0]}]")
    several_seeds("directions", d.shape)
    on, own = mask("live", live, d.shape[:2]), mask("members", members, d.shape[:2])
    theta, draws = between("theta", theta, -1, 1), count("draws", draws)
    seeds, rank = len(d), u.shape[1]
    norms = np.linalg.norm(d[on], axis=-1)
    if not np.all(np.abs(norms - 1) < 1e-3):
        raise ConfigError(
            "directions",
            Shown(f"a live row of norm {norms[np.abs(norms - 1).argmax()]:.4g}"),
            "unit rows",
        )
    rows, code = [d[s, on[s]] for s in range(seeds)], [d[s, on[s]] @ u for s in range(seeds)]
    inside = [own[s, on[s]] for s in range(seeds)]
    turn = haar(rank, np.random.default_rng(rng), (draws, seeds))
    out = np.full((draws, seeds), np.nan)
    for s in range(seeds):
        mine, c = rows[s][inside[s]], code[s][inside[s]]
        if len(mine):
            found = [
                _found(mine, c, rows[t], code[t], turn[:, s].mT @ turn[:, t], theta)
                for t in range(seeds)
                if t != s
            ]
            out[:, s] = np.mean(found, axis=0)
    return out


def _found(
    a: Array, ca: Array, b: Array, cb: Array, turn: NDArray[np.float64], theta: float
) -> Array:
    """Share of rows a [m, D] within `theta` of some row of b [n, D], for each rotation, [draws].

    `ca` and `cb` are the rows' coordinates in the block, `turn` is [draws, R, R]. Rows of b that no
    rotation brings within theta of a row of a are left out; usually those outside the block.
    """
    slack = 1e-9  # against rounding
    na, nb = np.linalg.norm(ca, axis=1), np.linalg.norm(cb, axis=1)
    tilt_a, tilt_b = np.arccos(np.clip(na, 0, 1)), np.arccos(np.clip(nb, 0, 1))
    near = np.abs(tilt_b - np.clip(tilt_b, tilt_a.min(), tilt_a.max())) <= np.arccos(theta) + slack
    b, cb, nb = b[near], cb[near], nb[near]
    rest = a @ b.T - ca @ cb.T
    near = (rest + np.outer(na, nb) >= theta - slack).any(axis=0)
    if not near.any():
        return np.zeros(len(turn))
    cb, rest = cb[near], rest[:, near]
    step = max(1, _CELLS // rest.size)
    best = [(ca @ turn[k : k + step] @ cb.T + rest).max(axis=-1) for k in range(0, len(turn), step)]
    return (np.concatenate(best) >= theta).mean(axis=-1)
