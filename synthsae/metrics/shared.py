"""Shared latents of Paulo and Belrose: decoders and encoders agree on the partner."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Mask
from synthsae.metrics.latent import match
from synthsae.metrics.reappearance import ROUNDING, THETA


def shared_pair(
    dec_a: ArrayLike,
    enc_a: ArrayLike,
    dec_b: ArrayLike,
    enc_b: ArrayLike,
    theta: float = THETA,
    absolute: bool = False,
) -> Mask:
    """Which latents of SAE a are shared with SAE b, bool [M].

    Latent i is shared if the Hungarian assignment on decoder rows and the one on encoder directions
    give it the same partner, both with a cosine >= theta (arXiv 2501.16615; signed unless
    `absolute`). As many latents of b are shared with a.

    Args:
        dec_a: decoder directions of a, [M, D].
        enc_a: encoder directions of a as rows, [M, E]; E differs from D for a transcoder.
        dec_b: decoder directions of b, [N, D].
        enc_b: encoder directions of b, [N, E].
        theta: least cosine.
        absolute: whether to match |cosine|.
    """
    theta = checks.between("theta", theta, -1, 1) - ROUNDING
    for side, dec, enc in (("a", dec_a, enc_a), ("b", dec_b, enc_b)):
        got = np.shape(enc)
        checks.same_shape(f"enc_{side}", got, f"dec_{side}", (*np.shape(dec)[:1], *got[1:]))
    rows, dec_partner, dec_cosine = match(dec_a, dec_b, absolute)
    enc_rows, enc_partner, enc_cosine = match(enc_a, enc_b, absolute)
    partner = np.full((2, len(np.asarray(dec_a))), -1)
    partner[0, rows[dec_cosine >= theta]] = dec_partner[dec_cosine >= theta]
    partner[1, enc_rows[enc_cosine >= theta]] = enc_partner[enc_cosine >= theta]
    return (partner[0] == partner[1]) & (partner[0] >= 0)


def shared(
    dec: ArrayLike, enc: ArrayLike, theta: float = THETA, live: ArrayLike | None = None
) -> Mask:
    """shared[s, t, i]: is latent i of seed s shared with seed t, bool [S, S, M].

    Only live latents are matched. Dead latents are not shared; live ones are shared with their own
    seed.

    Args:
        dec: decoder directions, [S, M, D], S >= 2.
        enc: encoder directions as rows, [S, M, D].
        theta: least cosine.
        live: which latents are live, bool [S, M]; None stands for all.
    """
    d = checks.array("dec", dec, "[S, M, D]")
    e = checks.array("enc", enc, "[S, M, D]")
    checks.same_shape("enc", e.shape, "dec", d.shape)
    checks.several_seeds("dec", d.shape)
    alive = checks.mask("live", live, d.shape[:2])
    out = np.zeros((len(d), *alive.shape), dtype=bool)
    for s, a in enumerate(alive):
        for t, b in enumerate(alive):
            out[s, t, a] = s == t or shared_pair(d[s, a], e[s, a], d[t, b], e[t, b], theta)
    return out
