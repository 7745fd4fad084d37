"""Explained variance, L0, firing rates, dead latents: the only definitions in the package.

Evaluations of many samples run in batches: `Residual` sums of batches add up to those of all
samples, and `l0` and `dead_fraction` follow from firing rates, whose mean over batches is the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Mask
from synthsae.checks import ConfigError, Shown
from synthsae.definitions import DEFAULTS

LIVE = DEFAULTS.live


@dataclass(frozen=True)
class Residual:
    """Sums over samples from which explained variance follows, with leading dimensions (seeds).

    `a + b` is the Residual of both batches together (Chan et al. 1983).

    Attributes:
        n: number of samples.
        mean: mean of x, [..., D].
        scatter: sum ||x - mean||^2, [...].
        error: sum ||x - x_hat||^2, [...].
    """

    n: int
    mean: Array
    scatter: Array
    error: Array

    @classmethod
    def of(cls, x: ArrayLike, x_hat: ArrayLike) -> Residual:
        """The sums of one batch x [..., B, D] and its reconstruction; leading axes broadcast."""
        a = checks.array("x", x, "[..., B, D]")
        b = checks.array("x_hat", x_hat, "[..., B, D]")
        checks.same_shape("x_hat's batch", b.shape[-2:], "x", a.shape[-2:])
        checks.broadcastable("x_hat", b.shape[:-2], "x", a.shape[:-2])
        if a.shape[-2] == 0:
            raise ConfigError("x", Shown(f"shape {a.shape}"), "one sample or more")
        mean = a.mean(axis=-2)
        scatter = np.sum((a - mean[..., None, :]) ** 2, axis=(-2, -1))
        return cls(a.shape[-2], mean, scatter, np.sum((a - b) ** 2, axis=(-2, -1)))

    def __add__(self, other: Residual) -> Residual:
        n = self.n + other.n
        step = other.mean - self.mean
        between = np.sum(step**2, axis=-1) * (self.n * other.n / n)
        return Residual(
            n,
            self.mean + step * (other.n / n),
            self.scatter + other.scatter + between,
            self.error + other.error,
        )

    @property
    def fvu(self) -> Array:
        """Fraction of variance unexplained, error / scatter, [...]; NaN where x is constant."""
        error, scatter = np.broadcast_arrays(self.error, self.scatter)
        return np.divide(error, scatter, out=np.full(error.shape, np.nan), where=scatter > 0)


def fvu(x: ArrayLike, x_hat: ArrayLike) -> Array:
    """Fraction of variance unexplained, sum ||x - x_hat||^2 / sum ||x - mean||^2, [...].

    Sums run over samples and dimensions of x and x_hat [..., B, D], the mean over samples. NaN
    where x is constant.
    """
    return Residual.of(x, x_hat).fvu


def explained_variance(x: ArrayLike, x_hat: ArrayLike) -> Array:
    """EV = 1 - `fvu`, [...]: 1 is perfect, 0 is as good as the mean of x; it may be negative."""
    return 1.0 - fvu(x, x_hat)


def firing_rates(codes: ArrayLike) -> Array:
    """Share of samples on which each latent's code [..., B, M] is not 0, [..., M]."""
    z = checks.array("codes", codes, "[..., B, M]")
    if z.shape[-2] == 0:
        raise ConfigError("codes", Shown(f"shape {z.shape}"), "one sample or more")
    return np.mean(z != 0, axis=-2)


def l0(codes: ArrayLike) -> Array:
    """Mean number of active latents a sample, the sum of firing rates, [...]; codes [..., B, M]."""
    return firing_rates(codes).sum(axis=-1)


def live(rates: ArrayLike, live_threshold: float = LIVE) -> Mask:
    """Which latents fire on at least `live_threshold` of the samples, bool, of rates [..., M]."""
    r = checks.in_range("rates", rates, 0, 1)
    checks.of_shape("rates", r, "[..., M]")
    return r >= checks.between("live_threshold", live_threshold, 0, 1)


def dead_fraction(rates: ArrayLike, live_threshold: float = LIVE) -> Array:
    """Share of latents that are not `live`, [...], of firing rates [..., M]."""
    return 1.0 - live(rates, live_threshold).mean(axis=-1)
