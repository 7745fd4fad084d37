"""Explained variance that is lost when latents are zeroed (ablated).

Zeroing latent i leaves the other codes unchanged: no other latent is selected in its place. On a
sample with residual e = x - x_hat the squared error grows by 2 z_i <e, w_i> + z_i^2 ||w_i||^2.
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
"""The classes of `reappearance.labels` whose latents are zeroed."""


def removal_errors(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike
) -> Residual:
    """Residual sums whose `error` [M] is the squared error with latent i alone zeroed.

    In closed form. Sums of batches add up. The EV lost is (`error` - error without zeroing) /
    `scatter`.

    Args:
        x: activations, [B, D].
        x_hat: their reconstructions, [B, D].
        codes: codes, [B, M].
        decoder: decoder rows as the SAE uses them, not scaled to norm 1, [M, D].
    """
    base, e, z, w = _parts(x, x_hat, codes, decoder)
    cross = np.einsum("md,md->m", z.T @ e, w)
    own = np.sum(z**2, axis=0) * np.sum(w**2, axis=1)
    return replace(base, error=base.error + 2 * cross + own)


def removal_costs(x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike) -> Array:
    """EV lost by zeroing each latent alone, [M]; negative for a latent that does harm.

    Arguments as `removal_errors`.
    """
    alone = removal_errors(x, x_hat, codes, decoder)
    return alone.fvu - Residual.of(x, x_hat).fvu


def masking_errors(
    x: ArrayLike, x_hat: ArrayLike, codes: ArrayLike, decoder: ArrayLike, order: ArrayLike
) -> Residual:
    """Residual sums whose `error` [N + 1] is that with the first 0 to N latents of `order` zeroed.

    Sums of batches add up; 1 - `fvu` of the total is the masking curve. `order` [N] holds distinct
    latents; the other arguments are those of `removal_errors`.
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
    """EV with the first 0 to N latents of `order` zeroed, [N + 1]; see `masking_errors`."""
    return 1.0 - masking_errors(x, x_hat, codes, decoder, order).fvu


class Orders(NamedTuple):
    """Two lists of latents to zero, in this order.

    Attributes:
        own: latents of a class in random order, [n].
        matched: for each of them a latent of another class with a similar firing rate, [n].
    """

    own: Index
    matched: Index


def masking_orders(
    labels: ArrayLike, rates: ArrayLike, n: int, rng: np.random.Generator, near: int = 4
) -> dict[str, Orders]:
    """Random orders in which to zero latents of each class, and matched latents of other classes.

    Each latent of a class, in turn, is matched with a latent that is not yet used, not "dead" and
    of another class: one of the `near` closest in log firing rate, at random. The first j latents
    of `own` and of `matched` therefore have equal number and similar rates, for every j.

    Args:
        labels: class of each latent, from `reappearance.labels`, [M].
        rates: firing rates, [M].
        n: number of latents of each class; all of them if a class has fewer.
        rng: generator.
        near: number of latents among which a match is drawn.

    Returns:
        By class; `matched` is shorter than `own` where no other latent is left.
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
    """The sums without zeroing, the residual x - x_hat, the codes and the decoder rows."""
    a = checks.array("x", x, "[B, D]")
    z = checks.array("codes", codes, "[B, M]")
    w = checks.array("decoder", decoder, "[M, D]")
    checks.same_shape("codes' samples", z.shape[:1], "x's", a.shape[:1])
    checks.same_shape("decoder", w.shape, "[codes' latents, x's D]", (z.shape[1], a.shape[1]))
    return Residual.of(a, x_hat), a - checks.array("x_hat", x_hat, "[B, D]"), z, w
