"""The latents that do not come back: do they fill the same subspace, and how much of the space?"""

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.geometry import Array
from synthsae.metrics import rank, reappearance, transfer
from synthsae.results import Dictionaries, Run, labelled
from synthsae.rng import numpy_generator

GRID = np.linspace(0, 1, 65)
"""Dimensions of a subspace, as a share of D."""


def subspace_transfer(run: Run | Dictionaries, draws: int = 8) -> xr.Dataset:
    """Energy of the other seeds' unstable latents in the top r singular directions of one seed's.

    Unstable: p_hat <= .05 (Gerasimov et al.). Beside the curve its nulls: r / D; the spread of
    random subspaces; and, row-matched, as many latents of the seed that are stable, and as many of
    all its live ones, which answers for directions in which all latents are large. NaN where a seed
    has no unstable latent, and for the stable where it has fewer of them than unstable ones.
    """
    label, d = reappearance.labels(run.p_hat), run.d_model
    r = np.round(GRID * d).astype(int)
    rng = numpy_generator("null", 0)
    curves = np.full((4, len(run.seeds), len(r)), np.nan)
    for s, mine in enumerate(label):
        own = run.directions[s, mine == "unstable"]
        rest = np.arange(len(label)) != s
        others = run.directions[rest][label[rest] == "unstable"]
        if not len(own) or not len(others):
            continue
        curves[0, s] = transfer.transfer_curve(own, others)[r]
        curves[1, s] = transfer.random_transfer(others, rng, draws)[:, r].std(axis=0, ddof=1)
        for i, pool in ((2, mine == "stable"), (3, mine != "dead")):
            if pool.sum() >= len(own):
                rows = run.directions[s, pool]
                drawn = transfer.matched_transfer(rows, others, len(own), rng, draws)
                curves[i, s] = drawn.mean(axis=0)[r]
    texts = {
        "transfer": "energy of other seeds' unstable latents in the top r directions of a seed's",
        "transfer_random_sd": "sd of the same over random subspaces (mean r / D)",
        "transfer_stable": "the same of as many stable latents of the seed",
        "transfer_live": "the same of as many of all live latents of the seed",
    }
    variables: dict[str, tuple] = {
        name: (("seed", "r_over_d"), curve, text)
        for (name, text), curve in zip(texts.items(), curves, strict=True)
    }
    variables["transfer_dimensions"] = (("r_over_d",), r, "dimensions r of the subspace")
    return labelled(run, **variables).assign_coords(r_over_d=GRID)


def effective_ranks(run: Run | Dictionaries, draws: int = 8) -> xr.Dataset:
    """Effective rank of as many stable as unstable latents of a seed, beside i.i.d. directions.

    The larger set is drawn from, so that all three have `effective_rank_rows` rows, on which the
    measure depends. NaN where there are fewer than two.
    """
    label, d = reappearance.labels(run.p_hat), run.d_model
    sets = [
        [rows[m == kind] for kind in ("stable", "unstable")]
        for rows, m in zip(run.directions, label, strict=True)
    ]
    rows = np.array([min(map(len, pair)) for pair in sets])
    rng = numpy_generator("null", 0)
    ranks = np.full((3, len(rows)), np.nan)
    for s, n in enumerate(rows):
        if n >= 2:
            ranks[:2, s] = [_drawn_rank(x, n, rng, draws) for x in sets[s]]
            ranks[2, s] = theory.effective_rank_null(n, d, draws=draws, rng=rng).mean()
    text = "effective rank exp(entropy(s / sum s)) of as many"
    return labelled(
        run,
        effective_rank_rows=(("seed",), rows, "rows of each set", "latents"),
        effective_rank_stable=(("seed",), ranks[0], f"{text} stable latents", "dimensions"),
        effective_rank_unstable=(("seed",), ranks[1], f"{text} unstable latents", "dimensions"),
        effective_rank_iid=(("seed",), ranks[2], f"{text} random directions", "dimensions"),
    )


def _drawn_rank(rows: Array, n: int, rng: np.random.Generator, draws: int) -> float:
    """Mean effective rank of n of the rows; of all of them, if there are no more."""
    times = draws if n < len(rows) else 1
    drawn = [rows[rng.choice(len(rows), n, replace=False)] for _ in range(times)]
    return float(np.mean([rank.effective_rank(x) for x in drawn]))
