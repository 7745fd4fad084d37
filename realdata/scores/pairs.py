"""The contexts on which matched latents fire, of the best pairs and of borderline pairs."""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from realdata.activations import Activations
from realdata.scores._text import activations, held_out_codes
from synthsae.metrics import latent
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled

KINDS = ("best", "borderline")
PAIRS, TOP = 4, 3
"""Pairs of each kind, and contexts of each latent."""
BEFORE, AFTER = 8, 2
"""Number of tokens shown before and after the one at which a latent fires."""


@requires("stack", "tokens")
def matched_contexts(run: Run) -> xr.Dataset:
    """Matched latents of the first two seeds, and the contexts in which both fire most.

    Live latents are matched one to one. The pairs are the `PAIRS` with the largest cosine (best),
    and the `PAIRS` others with a cosine closest to theta (borderline). Each latent is shown at the
    held-out tokens with its largest activations, one token a context at most. The correlation is
    that of the activations of both latents on held-out tokens. Missing pairs are NaN, -1 and "".

    Args:
        run: trained SAEs and their source.
    """
    source = activations(run)
    at, codes = held_out_codes(run, source)
    which = [np.flatnonzero(on) for on in run.live[:2]]
    rows, cols, cosine = latent.match(*(run.directions[s, on] for s, on in enumerate(which)))
    order = np.argsort(-cosine, kind="stable")
    near = np.argsort(np.abs(cosine - run.definitions.theta), kind="stable")
    best = order[:PAIRS]
    chosen = np.r_[best, near[~np.isin(near, best)][:PAIRS]]
    ids = np.transpose([which[0][rows[chosen]], which[1][cols[chosen]]])
    at_pair = np.r_[: min(PAIRS, len(best)), PAIRS : PAIRS + len(chosen) - len(best)]
    found = [[z[:, [i]].toarray()[:, 0] for z, i in zip(codes, pair, strict=False)] for pair in ids]
    correlation = [float(_correlation(a, b)) for a, b in found]
    rates = np.reshape([[(z > 0).mean() for z in pair] for pair in found], (-1, 2))
    contexts = np.full((2 * PAIRS, 2, TOP), "", dtype=object)
    for i, pair in zip(at_pair, found, strict=True):
        contexts[i] = [_contexts(source, at, z) for z in pair]

    def placed(values: ArrayLike, missing: float) -> NDArray:
        """`values` of the chosen pairs in an array of all pairs, with `missing` elsewhere."""
        x = np.asarray(values)
        out = np.full((2 * PAIRS, *x.shape[1:]), missing, dtype=x.dtype)
        out[at_pair] = x
        return out

    return labelled(
        run,
        pair_cosine=(("pair",), placed(cosine[chosen], np.nan), "cosine of the decoder rows"),
        pair_correlation=(
            ("pair",),
            placed(np.array(correlation, float), np.nan),
            "correlation of their activations on held-out tokens",
        ),
        pair_latent=(
            ("pair", "side"),
            placed(ids.reshape(-1, 2), -1),
            "latent of the first and of the second seed",
            "",
        ),
        pair_rate=(
            ("pair", "side"),
            placed(rates.astype(float), np.nan),
            "share of held-out tokens on which it fires",
        ),
        pair_context=(
            ("pair", "side", "top"),
            contexts.astype(str),
            "context of a large activation, with the token in brackets",
            "",
        ),
    ).assign_coords(
        pair=(
            "pair",
            [f"{kind} {i + 1}" for kind in KINDS for i in range(PAIRS)],
            {"long_name": "matched latents of the first two seeds"},
        )
    )


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation of `a` and `b` [n]; 0 if one of them is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def _contexts(source: Activations, at: NDArray[np.int64], z: NDArray[np.float64]) -> list[str]:
    """The texts of the `TOP` contexts with the largest activations z [B]; "" if there are fewer."""
    order = np.argsort(-z, kind="stable")
    order = order[z[order] > 0]
    context, position = source.places(at[order])
    first = np.sort(np.unique(context, return_index=True)[1])[:TOP]
    texts = [_shown(source, int(context[i]), int(position[i])) for i in first]
    return texts + [""] * (TOP - len(texts))


def _shown(source: Activations, context: int, position: int) -> str:
    """The text around a token on one line, with the token in brackets."""
    tokens = source.contexts("eval")[context].tolist()
    start = max(0, position - BEFORE)
    parts = (
        tokens[start:position],
        tokens[position : position + 1],
        tokens[position + 1 : position + 1 + AFTER],
    )
    before, here, after = (source.model.tokenizer.decode(ids) for ids in parts)
    return " ".join(f"{before} [{here.strip()}] {after}".split())
