"""Matching latents by what they do: correlations of activations over samples that both SAEs saw."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.checks import ConfigError, Shown
from synthsae.metrics.latent import assign, cosines


def correlations(codes_a: ArrayLike, codes_b: ArrayLike, absolute: bool = False) -> Array:
    """Pearson correlation over samples of every latent of a with every one of b.

    Codes [..., B, M], [..., B, N] on the *same* B samples -> [..., M, N]. A latent whose code does
    not vary (a dead one) correlates 0. Raises ValueError for shapes that do not fit, no sample, or
    values that are not finite.
    """
    a = checks.array("codes_a", codes_a, "[..., B, M]")
    b = checks.array("codes_b", codes_b, "[..., B, N]")
    checks.same_shape("codes_b's samples", b.shape[-2:-1], "codes_a's", a.shape[-2:-1])
    if a.shape[-2] == 0:
        raise ConfigError("codes_a", Shown(f"shape {a.shape}"), "one sample or more")
    return cosines(_centred(a), _centred(b), absolute)


def match_activations(
    codes_a: ArrayLike, codes_b: ArrayLike, absolute: bool = False
) -> tuple[Index, Index, Array]:
    """One-to-one (Hungarian) on `correlations` of [B, M] and [B, N]: (rows, cols, correlations)."""
    checks.array("codes_a", codes_a, "[B, M]")
    checks.array("codes_b", codes_b, "[B, N]")
    c = correlations(codes_a, codes_b, absolute)
    rows, cols = assign(c)
    return rows, cols, c[rows, cols]


def _centred(codes: Array) -> Array:
    """Codes minus their mean over samples, one latent a row; exactly 0 where a code is constant."""
    z = codes.mT
    varies = z.max(axis=-1, keepdims=True) > z.min(axis=-1, keepdims=True)
    return np.where(varies, z - z.mean(axis=-1, keepdims=True), 0.0)
