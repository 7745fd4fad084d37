"""What random subspaces and random rows score: the nulls of the subspace measures."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.geometry import Array, unit
from synthsae.theory._check import Rng, whole

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


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
            raise ValueError(f"{name}: {r.max()}; allowed: at most d = {n.min()}")
    n, a, b = (x.astype(float) for x in (n, a, b))
    variance = 2 * a * b * (n - a) * (n - b) / (n**2 * (n - 1) * (n + 2))
    return np.broadcast_arrays(a / n, b)[0].copy(), np.sqrt(variance) / b


def participation_ratio_iid(n: ArrayLike, d: ArrayLike) -> Array:
    """Participation ratio (sum s^2)^2 / sum s^4 of n i.i.d. unit rows in R^D: n D / (n + D - 1).

    sum s^2 = n exactly, and sum s^4 = ||G||_F^2 of the Gram matrix has mean n + n (n - 1) / D.
    A ratio with a mean in its denominator: right to O(1 / (n D)).
    """
    rows, dim = whole("n", n).astype(float), whole("d", d)
    return rows * dim / (rows + dim - 1)


def effective_rank_iid(n: int, d: int) -> float:
    """Effective rank exp(entropy(s / sum s)) of n i.i.d. unit rows in R^D, in the large-size limit.

    The N = min(n, D) singular values follow Marchenko and Pastur's law: with q = N / max(n, D), x
    in [(1 - sqrt q)^2, (1 + sqrt q)^2] has density proportional to sqrt((b - x)(x - a)) / x and s
    is proportional to sqrt x. The entropy is log(N E s) - E[s log s] / E s. Gauss-Legendre
    quadrature in x = (1 - sqrt q)^2 + 4 sqrt q cos^2(angle / 2), relative error below 1e-6. Sizes
    of a few tens deviate by about .05 / N in ER / N: `effective_rank_null` draws them.
    """
    rows, dim = int(whole("n", n)), int(whole("d", d))
    small, large = min(rows, dim), max(rows, dim)
    root = np.sqrt(small / large)
    angle = np.pi / 2 * (1 + _NODES)
    x = (1 - root) ** 2 + 4 * root * np.cos(angle / 2) ** 2
    weight = _WEIGHTS * np.sin(angle) ** 2 / x  # sums to 1
    s = np.sqrt(x)
    mean = (weight * s).sum()
    entropy = np.log(mean) - (weight * s * np.log(s)).sum() / mean
    return float(small * np.exp(entropy))


def effective_rank_null(n: int, d: int, *, draws: int = 8, rng: Rng = 0) -> Array:
    """Effective ranks of `draws` sets of n i.i.d. unit rows in R^D, [draws]: the row-matched null.

    Singular values from the smaller Gram matrix: O(n D min(n, D)) a draw.
    """
    rows, dim = int(whole("n", n)), int(whole("d", d))
    gen = np.random.default_rng(rng)
    out = np.empty(int(whole("draws", draws)))
    for i in range(len(out)):
        x = unit(gen.standard_normal((rows, dim)))
        gram = x @ x.T if rows < dim else x.T @ x
        s = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
        p = s[s > 0] / s.sum()
        out[i] = np.exp(-(p * np.log(p)).sum())
    return out
