"""What latents are worth: the variance that stays explained when they are zeroed.

Zeroing latent i leaves the other codes as they are (nothing is selected anew), so on a sample with
residual e = x - x_hat the squared error grows by 2 z_i <e, w_i> + z_i^2 ||w_i||^2.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.checks import ConfigError, Shown
from synthsae.metrics.function import Residual

CLASSES = ("stable", "middle", "unstable")
"""The classes of `reappearance.labels` that are masked."""


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
    chosen = checks.whole("order", order, 0, len(w) - 1)
    if chosen.ndim != 1 or len(np.unique(chosen)) < chosen.size:
        raise ConfigError("order", Shown(f"shape {chosen.shape}"), "distinct latents, [N]")
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


class Orders(NamedTuple):
    """Latents of a class in a random order, and others in their place that fire as often, [n]."""

    own: Index
    matched: Index


def masking_orders(
    labels: ArrayLike, rates: ArrayLike, n: int, rng: np.random.Generator, near: int = 4
) -> dict[str, Orders]:
    """Random orders to mask, by class: `n` latents of it (or all there are), and others matched.

    `labels` [M] from `reappearance.labels`, firing `rates` [M]. Each latent in turn is matched with
    one that is not yet used, not "dead" and of another class: any of the `near` closest in log
    rate, at equal chances. `matched` is shorter where no other is left. A set is nested in the next
    and has a partner for each of its latents, so the two curves compare at equal count and rate.
    """
    name, rate = np.asarray(labels), checks.array("rates", rates, "[M]")
    checks.same_shape("labels", name.shape, "rates", rate.shape)
    n, near = checks.count("n", n, 0), checks.count("near", near)
    log = np.log(np.maximum(rate, np.finfo(float).tiny))
    orders = {}
    for c in CLASSES:
        own = rng.permutation(np.flatnonzero(name == c))[:n]
        pool = np.flatnonzero((name != c) & (name != "dead"))
        matched = np.empty(min(len(own), len(pool)), dtype=np.intp)
        for step, i in enumerate(own[: len(matched)]):
            some = np.argsort(np.abs(log[pool] - log[i]), kind="stable")[:near]
            pick = rng.choice(some)
            matched[step], pool = pool[pick], np.delete(pool, pick)
        orders[c] = Orders(own, matched)
    return orders


def _parts(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike
) -> tuple[Residual, Array, Array, Array]:
    """The unmasked sums, the residual (a copy), codes and decoder rows."""
    a = checks.array("x", x, "[B, D]")
    z = checks.array("codes", codes, "[B, M]")
    w = checks.array("decoder", decoder, "[M, D]")
    checks.same_shape("codes' samples", z.shape[:1], "x's", a.shape[:1])
    checks.same_shape("decoder", w.shape, "[codes' latents, x's D]", (z.shape[1], a.shape[1]))
    return Residual.of(a, x_hat), a - checks.array("x_hat", x_hat, "[B, D]"), z, w
