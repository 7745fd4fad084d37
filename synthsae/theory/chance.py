"""Chance levels: what cosines random directions reach. Every score is read against one of these."""

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
    """Chance p_hat: P(max of m random signed cosines in R^d >= theta) = 1 - (1 - A_d(theta))^m.

    With 2 A_d in place of A_d for absolute cosines, theta > 0. `d`, `m` (0 or more) and `theta`
    broadcast. Right down to 1e-300: no 1 - 1e-17 on the way.
    """
    sides = 2 if absolute else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        log_miss = np.log1p(-sides * cap_measure(whole("d", d), theta))
        n = whole("m", m, 0)
        return np.where(n == 0, 0.0, -np.expm1(n * log_miss))


def chance_max_cosine(d: int, m: int, absolute: bool = False) -> float:
    """Mean of the largest of m random cosines in R^d, signed or absolute: the chance level of MMCS.

    The maximum has distribution function F(c) = (1 - A_d(c))^m, with 2 A_d in place of A_d for
    absolute cosines; E max = c0 + int_{c0}^{c1} (1 - F) dc between its quantiles c0 and c1 at 1e-16
    and 1 - 1e-16, by Gauss-Legendre quadrature in the angle (error below 1e-10). In R^1:
    1 - 2^(1-m) signed, 1 absolute.
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
    """Mean Hungarian-matched cosine of m and n (default m) random directions in R^d.

    One-to-one, so below `chance_max_cosine`. No closed form: the mean over `draws` Monte Carlo
    draws, whose standard error at the defaults is about .001 at (d, m) = (32, 128) and .0003 at
    (128, 256).
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
    """Mean and standard deviation of the overlap ||A^T U||_F^2 / R2 of random subspaces of R^D.

    A has dimension R1 and U dimension R2 = `r2`. With P, Q their projections the overlap is
    tr(PQ) / R2; E P = (R1 / D) I gives the mean R1 / D, and the second moment of a Haar-random
    projection gives var tr(PQ) = 2 R1 R2 (D - R1) (D - R2) / (D^2 (D - 1) (D + 2)) (Collins and
    Sniady 2006, Weingarten calculus). Arguments broadcast; D >= 2, R1 and R2 at most D.
    """
    n, a, b = whole("d", d, 2), whole("r1", r1), whole("r2", r2)
    for name, r in (("r1", a), ("r2", b)):
        if np.any(r > n):
            raise ConfigError(name, Shown(f"{r.max()}"), f"at most d = {n.min()}")
    n, a, b = (x.astype(float) for x in (n, a, b))
    variance = 2 * a * b * (n - a) * (n - b) / (n**2 * (n - 1) * (n + 2))
    return np.broadcast_arrays(a / n, b)[0].copy(), np.sqrt(variance) / b
