"""What random subspaces and random rows score: the nulls of the subspace measures."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown
from synthsae.geometry import unit
from synthsae.theory._check import Rng, whole


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
