"""Paulo and Belrose's two-sided rule: decoders and encoders have to agree on the partner."""

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
    """Which latents of SAE a are shared with SAE b: [M, D] twice, [N, D] twice -> bool [M].

    Encoders may have another width than decoders, as a transcoder's have.

    Latent i is shared when the Hungarian assignment on decoder rows and, separately, the one on
    encoder directions (rows here) give it the same partner, and both cosines are >= theta
    (arXiv 2501.16615; signed unless `absolute`, one-to-one). The same number is shared seen from b.
    Raises ValueError for shapes that do not fit, values that are not finite, theta outside [-1, 1].
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
    """shared[s, t, i]: latent i of seed s is shared with seed t, [S, M, D] twice -> bool [S, S, M].

    Among live latents (`live`, bool [S, M]); dead ones are not shared, and live ones always are
    with their own seed. Raises ValueError for fewer than two seeds, else as `shared_pair`.
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
