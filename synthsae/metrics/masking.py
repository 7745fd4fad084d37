"""What latents are worth: the variance that stays explained when they are zeroed.

Zeroing latent i leaves the other codes as they are (nothing is selected anew), so on a sample with
residual e = x - x_hat the squared error grows by 2 z_i <e, w_i> + z_i^2 ||w_i||^2.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.metrics import _check
from synthsae.metrics.function import Residual

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def removal_errors(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike
) -> Residual:
    """Sums with `error` [M]: the squared error with latent i alone zeroed, in closed form.

    x and x_hat [B, D], codes [B, M], decoder [M, D] (rows as used, not scaled). Batches add up, and
    `error` minus the unmasked one over `scatter` is the cost in EV. Raises ValueError for shapes
    that do not fit and values that are not finite.
    """
    base, e, z, w = _parts(x, x_hat, codes, decoder)
    cross = np.einsum("md,md->m", z.T @ e, w)
    own = np.sum(z**2, axis=0) * np.sum(w**2, axis=1)
    return replace(base, error=base.error + 2 * cross + own)


def removal_costs(x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike) -> Array:
    """The EV lost by zeroing each latent alone, [M]; negative where it does harm.

    Errors as `removal_errors`.
    """
    alone = removal_errors(x, x_hat, codes, decoder)
    return alone.fvu - Residual.of(x, x_hat).fvu


def masking_errors(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike, order: ArrayLike
) -> Residual:
    """Sums with `error` [N + 1]: the squared error with the first 0..N latents of `order` zeroed.

    `order` [N] holds distinct latents; the rest as `removal_errors`. Batches add up: 1 - `fvu` of
    the sum is the curve.
    """
    base, e, z, w = _parts(x, x_hat, codes, decoder)
    chosen = np.asarray(order, dtype=np.intp)
    distinct = len(np.unique(chosen)) == chosen.size
    if chosen.ndim != 1 or not distinct or not np.all((chosen >= 0) & (chosen < len(w))):
        raise ValueError(
            f"order: shape {chosen.shape}; allowed: distinct latents from 0 to {len(w) - 1}, [N]"
        )
    growth = np.zeros(len(chosen) + 1)
    for step, i in enumerate(chosen, start=1):
        fires = np.flatnonzero(z[:, i])
        removed = np.outer(z[fires, i], w[i])
        growth[step] = np.sum(removed * (2 * e[fires] + removed))
        e[fires] += removed
    return replace(base, error=base.error + np.cumsum(growth))


def masking_curve(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike, order: ArrayLike
) -> Array:
    """EV with the first 0..N latents of `order` zeroed, [N + 1]. Arguments as `masking_errors`."""
    return 1.0 - masking_errors(x, x_hat, codes, decoder, order).fvu


def masking_orders(
    labels: ArrayLike, n: int, rng: np.random.Generator, classes: tuple[str, ...] = ("stable",)
) -> dict[str, Index]:
    """Random orders to mask, by name: `n` latents (or all there are) of each class, and "random".

    `labels` [M] from `reappearance.labels`; "random" draws n from all latents that are not "dead",
    the set that a class is compared with at equal count.
    """
    name = np.asarray(labels)
    _check.at_least("n", n, 0)
    pools = {c: np.flatnonzero(name == c) for c in classes}
    pools["random"] = np.flatnonzero(name != "dead")
    return {c: rng.permutation(pool)[:n] for c, pool in pools.items()}


def _parts(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike
) -> tuple[Residual, Array, Array, Array]:
    """The unmasked sums, the residual (a copy), codes and decoder rows."""
    a = _check.array("x", x, "[B, D]")
    z = _check.array("codes", codes, "[B, M]")
    w = _check.array("decoder", decoder, "[M, D]")
    _check.same("codes' samples", z.shape[:1], "x's", a.shape[:1])
    _check.same("decoder", w.shape, "[codes' latents, x's D]", (z.shape[1], a.shape[1]))
    return Residual.of(a, x_hat), a - np.asarray(x_hat, dtype=np.float64), z, w
