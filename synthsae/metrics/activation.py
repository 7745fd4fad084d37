"""Match latents of two SAEs by the correlation of their codes over the same samples."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array, Index
from synthsae.checks import ConfigError, Shown
from synthsae.metrics.latent import assign, cosines


def correlations(codes_a: ArrayLike, codes_b: ArrayLike, absolute: bool = False) -> Array:
    """Pearson correlation of each latent of a with each latent of b over samples, [..., M, N].

    A latent whose code does not vary, such as a dead one, has correlation 0.

    Args:
        codes_a: codes of SAE a, [..., B, M].
        codes_b: codes of SAE b on the *same* B samples, [..., B, N].
        absolute: whether to return |correlation|.
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
    """One-to-one (Hungarian) matching of codes [B, M] and [B, N]: (rows, cols, correlations)."""
    checks.array("codes_a", codes_a, "[B, M]")
    checks.array("codes_b", codes_b, "[B, N]")
    c = correlations(codes_a, codes_b, absolute)
    rows, cols = assign(c)
    return rows, cols, c[rows, cols]


def _centred(codes: Array) -> Array:
    """Codes minus their mean over samples, [..., M, B]; exactly 0 where a code is constant."""
    z = codes.mT
    varies = z.max(axis=-1, keepdims=True) > z.min(axis=-1, keepdims=True)
    return np.where(varies, z - z.mean(axis=-1, keepdims=True), 0.0)
