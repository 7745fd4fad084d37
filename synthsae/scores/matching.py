"""Agreement of two dictionaries: one-to-one (Hungarian), many-to-one, by decoder and encoder."""

from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae import progress, theory
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.geometry import unit
from synthsae.metrics import latent, shared
from synthsae.rng import numpy_generator
from synthsae.scores.needs import requires
from synthsae.scores.run import Dictionaries, Run, labelled

EDGES = np.linspace(-1, 1, 101)
"""Bins of the histogram of matched cosines."""

NULL_ENTRIES = 1e8
"""Entries of all cosine matrices of the null: sets its number of pairs of dictionaries, 2 to 99."""


def matched_agreement(run: Run | Dictionaries) -> xr.Dataset:
    """Cosines of live latents matched one-to-one, for every pair of seeds, and a null.

    The null matches dictionaries of as many uniformly random directions. `matched_p` is the
    one-sided p-value of the mean cosine, (1 + #{null >= observed}) / (1 + n) over n null pairs.
    """
    cosines = [cosine for _, _, cosine in run.once(_matches).values()]
    return _agreement(run, run.live, cosines, "", "live latents")


def matched_agreement_all(run: Run) -> xr.Dataset:
    """`matched_agreement` of all latents, live and dead; names of variables end in `_all`."""
    pairs = combinations(run.directions, 2)
    cosines = [latent.matched_cosines(a, b, run.absolute) for a, b in pairs]
    return _agreement(run, np.ones_like(run.live), cosines, "_all", "latents, dead ones too")


def nearest_agreement(run: Run | Dictionaries) -> xr.Dataset:
    """MMCS, the mean over the live latents of a of the largest cosine to those of b, and chance.

    Many-to-one and not symmetric (Sharkey et al. 2022).
    """
    count = run.live.sum(axis=1)
    chance = [
        theory.chance_max_cosine(run.d_model, n, run.absolute) if n else np.nan for n in count
    ]
    mmcs = (
        run.nearest.mmcs
        if isinstance(run, Dictionaries)
        else latent.pairwise_mmcs(run.directions, run.live, run.absolute)
    )
    return labelled(
        run,
        mmcs=(
            ("seed_a", "seed_b"),
            mmcs,
            "mean largest cosine of live latents of a to those of b",
        ),
        mmcs_chance=(("seed_b",), chance, "mmcs with as many random directions as b has"),
    )


@requires("encoders")
def shared_latents(run: Run | Dictionaries) -> xr.Dataset:
    """Share of live latents whose decoder and encoder rows match the same latent of another seed.

    The rule of Paulo and Belrose (arXiv 2501.16615). Both matches are Hungarian, with cosines of
    theta or more, signed unless `run.absolute`. Raises ConfigError without encoder rows.
    """
    encoders, theta = run.encoders, run.definitions.theta
    if encoders is None:
        raise ConfigError("encoders", None, "a row for each latent")
    n, count = len(run.seeds), run.live.sum(axis=1)
    share = np.full((n, n), np.nan)
    decoders = run.once(_matches)
    with progress.bar("matching encoders", len(decoders), "pairs of SAEs") as counted:
        for (s, t), match in decoders.items():
            a, b = (encoders[i, run.live[i]] for i in (s, t))
            same = latent.match(a, b, run.absolute)
            both = shared.same_partner(match, same, count[s], theta).sum()
            share[s, t], share[t, s] = both / max(1, count[s]), both / max(1, count[t])
            counted(1)
    text = "share of live latents of a whose decoder and encoder match the same latent of b"
    return labelled(run, shared_share=(("seed_a", "seed_b"), share, text))


def _matches(run: Run | Dictionaries) -> dict[tuple[int, int], latent.Match]:
    """Matching of the live latents of each pair of seeds."""
    found, pairs = {}, list(combinations(range(len(run.seeds)), 2))
    with progress.bar("matching decoders", len(pairs), "pairs of SAEs") as count:
        for pair in pairs:
            a, b = (run.directions[s, run.live[s]] for s in pair)
            found[pair] = latent.match(a, b, run.absolute)
            count(1)
    return found


def _agreement(
    run: Run | Dictionaries,
    keep: NDArray[np.bool_],
    cosines: list[Array],
    suffix: str,
    what: str,
) -> xr.Dataset:
    """Statistics of the matched cosines of each pair of seeds and of pairs of random directions."""
    n, same = len(run.seeds), run.definitions.same
    score, bins = np.full((3, n, n), np.nan), np.zeros(len(EDGES) - 1)
    for (s, t), cosine in zip(combinations(range(n), 2), cosines, strict=True):
        score[:, s, t] = score[:, t, s] = _scores(cosine, same)
        bins += np.histogram(cosine, EDGES)[0]
    null, null_bins = _null(keep.sum(axis=1), run.d_model, same, run.absolute)
    texts = ("PW-MCC: mean", "median", f"share >= {same:g}")
    variables: dict[str, tuple[Any, ...]] = {}
    for i, (name, text) in enumerate(
        zip(("pairwise_mcc", "matched_median", "matched_share"), texts, strict=True)
    ):
        signs = "absolute" if run.absolute else "signed"
        about = f"{text} of the {signs} one-to-one cosines of {what}"
        variables[name + suffix] = (("seed_a", "seed_b"), score[i], about)
        chance = f"the same of as many random directions, mean over {len(null)} pairs"
        variables[f"{name}{suffix}_chance"] = ((), null[:, i].mean(), chance)
        variables[f"{name}{suffix}_chance_sd"] = ((), null[:, i].std(ddof=1), f"sd of {chance}")
    p = (1 + (null[:, 0] >= np.nanmean(score[0])).sum()) / (1 + len(null))
    counts = {"matched_histogram": bins, "matched_histogram_chance": null_bins}
    for name, values in counts.items():
        text = f"matched cosines of {what} in a bin, share of all pairs"
        variables[name + suffix] = (("cosine",), values / max(1, values.sum()), text)
    variables[f"matched_p{suffix}"] = ((), p, "p-value of the mean against random directions")
    return labelled(run, **variables).assign_coords(cosine=(EDGES[:-1] + EDGES[1:]) / 2)


def _scores(cosine: Array, same: float) -> tuple[float, float, float]:
    """Mean, median and share >= `same`; NaN for no cosine."""
    seen = latent.summarise(cosine, threshold=same)
    return seen.mean, seen.median, seen.share


def _null(count: NDArray[np.intp], d: int, same: float, absolute: bool) -> tuple[Array, Array]:
    """`_scores` of pairs of random dictionaries, [draws, 3], and the histogram of their cosines.

    The sizes of the dictionaries are those of the pairs of seeds, in turn.
    """
    pairs = list(combinations(count, 2))
    draws = int(np.clip(NULL_ENTRIES // max(1, count.max() ** 2), 2, 99))
    rng, bins, scores = numpy_generator("null", 0), np.zeros(len(EDGES) - 1), []
    for k in range(draws):
        a, b = (unit(rng.standard_normal((m, d))) for m in pairs[k % len(pairs)])
        cosine = latent.matched_cosines(a, b, absolute)
        scores.append(_scores(cosine, same))
        bins += np.histogram(cosine, EDGES)[0]
    return np.array(scores), bins
