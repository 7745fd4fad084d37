"""Shared latents of Paulo and Belrose: decoders and encoders agree on the partner."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Mask
from synthsae.metrics.latent import Match, match
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
    for side, dec, enc in (("a", dec_a, enc_a), ("b", dec_b, enc_b)):
        got = np.shape(enc)
        checks.same_shape(f"enc_{side}", got, f"dec_{side}", (*np.shape(dec)[:1], *got[1:]))
    matches = match(dec_a, dec_b, absolute), match(enc_a, enc_b, absolute)
    return same_partner(*matches, len(np.asarray(dec_a)), theta)


def same_partner(decoders: Match, encoders: Match, m: int, theta: float = THETA) -> Mask:
    """Which of m latents have the same partner in two matchings, with cosines >= theta, bool [m].

    Args:
        decoders: result of `latent.match` on decoder rows of two SAEs.
        encoders: that on encoder rows.
        m: latents of the first SAE.
        theta: least cosine in both.
    """
    theta = checks.between("theta", theta, -1, 1) - ROUNDING
    partner = np.full((2, m), -1)
    for row, (latents, others, cosine) in zip(partner, (decoders, encoders), strict=True):
        near = cosine >= theta
        row[latents[near]] = others[near]
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
