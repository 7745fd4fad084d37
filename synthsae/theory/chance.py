"""Chance levels: cosines and overlaps of random directions and subspaces."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from synthsae.arrays import Array, Rng
from synthsae.checks import ConfigError, Shown, count, whole
from synthsae.definitions import DEFAULTS
from synthsae.geometry import unit
from synthsae.theory.caps import cap_angle, cap_measure

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


def chance_found(
    d: ArrayLike, m: ArrayLike, theta: ArrayLike = DEFAULTS.theta, absolute: bool = False
) -> Array:
    """Chance level of p_hat: P(max of m random cosines in R^d >= theta) = 1 - (1 - A_d(theta))^m.

    For absolute cosines and theta > 0, 2 A_d takes the place of A_d. Accurate down to 1e-300. `d`,
    `m` (0 or more) and `theta` broadcast.
    """
    sides = 2 if absolute else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        log_miss = np.log1p(-sides * cap_measure(whole("d", d), theta))
        n = whole("m", m, 0)
        return np.where(n == 0, 0.0, -np.expm1(n * log_miss))


def chance_max_cosine(d: int, m: int, absolute: bool = False) -> float:
    """Chance level of MMCS: mean of the largest of m random cosines in R^d.

    The maximum has the distribution function F(c) = (1 - A_d(c))^m, with 2 A_d in place of A_d for
    absolute cosines. E max = c0 + int_{c0}^{c1} (1 - F) dc between its quantiles c0 and c1 at 1e-16
    and 1 - 1e-16, by Gauss-Legendre quadrature in the angle (error below 1e-10). In R^1 the mean is
    1 - 2^(1-m), or 1 for absolute cosines.
    """
    d, m = count("d", d), count("m", m)
    if d == 1:
        return 1.0 if absolute else 1 - 2.0 ** (1 - m)
    sides = 2 if absolute else 1
    exceed = -np.expm1(
        np.log([1 - 1e-16, 1e-16]) / m
    )  # of one cosine, at either quantile of the max
    near, far = cap_angle(d, exceed / sides)
    phi = (near + far) / 2 + (far - near) / 2 * _NODES
    above = -np.expm1(m * np.log1p(-sides * cap_measure(d, np.cos(phi))))
    return float(np.cos(far) + (far - near) / 2 * (_WEIGHTS * above * np.sin(phi)).sum())


def chance_matched_cosine(
    d: int,
    m: int,
    n: int | None = None,
    absolute: bool = False,
    *,
    rng: Rng = 0,
    draws: int = 16,
) -> float:
    """Chance level of MCC: mean Hungarian-matched cosine of m and n random directions in R^d.

    A one-to-one matching, so the mean is below `chance_max_cosine`. There is no closed form: this
    is the mean over Monte Carlo draws, with a standard error at the defaults of about .001 at (d,
    m) = (32, 128) and .0003 at (128, 256).

    Args:
        d: dimension.
        m: number of directions of one set.
        n: number of directions of the other set; None stands for m.
        absolute: whether to match |cosine|.
        rng: a generator or a seed.
        draws: number of Monte Carlo draws.
    """
    d, m = count("d", d), count("m", m)
    n = m if n is None else count("n", n)
    gen = np.random.default_rng(rng)
    total = 0.0
    for _ in range(count("draws", draws)):
        a, b = unit(gen.standard_normal((m, d))), unit(gen.standard_normal((n, d)))
        cosine = np.abs(a @ b.T) if absolute else a @ b.T
        total += cosine[linear_sum_assignment(cosine, maximize=True)].mean()
    return total / draws


def random_overlap(d: ArrayLike, r1: ArrayLike, r2: ArrayLike) -> tuple[Array, Array]:
    """Mean and standard deviation of ||A^T U||_F^2 / R2 for random subspaces A and U of R^D.

    With projections P, Q the overlap is tr(PQ) / R2. E P = (R1 / D) I gives the mean R1 / D. The
    second moment of a Haar-random projection gives var tr(PQ) = 2 R1 R2 (D - R1) (D - R2) / (D^2 (D
    - 1) (D + 2)) (Collins and Sniady 2006, Weingarten calculus).

    Args:
        d: D, 2 or more.
        r1: dimension R1 of A, at most D.
        r2: dimension R2 of U, at most D.

    Returns:
        The mean and the standard deviation; arguments broadcast.
    """
    n, a, b = whole("d", d, 2), whole("r1", r1), whole("r2", r2)
    for name, r in (("r1", a), ("r2", b)):
        if np.any(r > n):
            raise ConfigError(name, Shown(f"{r.max()}"), f"at most d = {n.min()}")
    n, a, b = (x.astype(float) for x in (n, a, b))
    variance = 2 * a * b * (n - a) * (n - b) / (n**2 * (n - 1) * (n + 2))
    return np.broadcast_arrays(a / n, b)[0].copy(), np.sqrt(variance) / b
