"""Do the latents that no other seed finds live where those of other seeds do?"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae.arrays import Array
from synthsae.metrics import transfer
from synthsae.metrics.rank import effective_rank, iid_effective_rank
from synthsae.metrics.subspace import block_energy
from synthsae.rng import numpy_generator
from synthsae.scores.run import Dictionaries, Run, labelled

CLASSES = ("unstable", "stable")
RANDOM = 20
"""Random nested subspaces that the second null draws."""


def unstable_transfer(run: Run | Dictionaries, draws: int = 8) -> xr.Dataset:
    """Energy of the other seeds' unstable latents in the top r dimensions of a seed's, r = 0..D.

    The nulls (`metrics.transfer`): r / D, the 95% range of random
    subspaces, and in place of its unstable ones as many stable latents of the same seed (or all,
    if those are fewer), or as many of all its live ones, which answers for directions in which all
    latents are large (`draws` times). The prediction, where blocks are planted: unstable latents
    fill all of their G R dimensions evenly and nothing else, min(1, r / (G R)). NaN where a seed
    has no unstable latent, no stable one for the null, or no other seed an unstable one.
    """
    label, d = run.labels, run.d_model
    curve, null, every, low, high = np.full((5, len(label), d + 1), np.nan)
    for s in range(len(label)):
        rng = numpy_generator("null", 0, 1, s)
        own, stable, live, others = _sets(run, label, s)
        if len(own) and len(others):
            curve[s] = transfer.transfer_curve(own, others)
            random = transfer.random_transfer(others, rng, RANDOM)
            low[s], high[s] = np.quantile(random, (0.025, 0.975), axis=0)
            if n := min(len(own), len(stable)):
                null[s] = transfer.matched_transfer(stable, others, n, rng, draws).mean(axis=0)
            every[s] = transfer.matched_transfer(live, others, len(own), rng, draws).mean(axis=0)
    dims, planted = ("seed", "r"), run.bases.shape[0] * run.bases.shape[2]
    variables: dict[str, tuple[Any, ...]] = dict(
        transfer=(dims, curve, "energy of the others' unstable latents in its top r dimensions"),
        transfer_stable=(dims, null, "the same with as many of its stable latents"),
        transfer_live=(dims, every, "the same with as many of all its live latents"),
        transfer_random_low=(dims, low, "2.5% quantile for random subspaces"),
        transfer_random_high=(dims, high, "97.5% quantile for random subspaces"),
        transfer_chance=(("r",), np.arange(d + 1) / d, "mean for random subspaces, r / D"),
    )
    if planted:
        predicted = np.minimum(1, np.arange(d + 1) / planted)
        variables["transfer_predicted"] = (("r",), predicted, "all of it in blocks, evenly")
    return labelled(run, **variables).assign_coords(r=np.arange(d + 1))


def class_dimension(run: Run | Dictionaries, draws: int = 8) -> xr.Dataset:
    """Effective rank of as many stable as unstable latents of a seed, and where the blocks are.

    Rows are matched in each seed: the smaller count, `draws` times; NaN where that is not two or
    more. Beside them the value of as many i.i.d. directions, in all D dimensions and in those of
    the blocks. Where blocks are planted: the mean share of a latent's energy that they hold.
    """
    label, (g, d, r) = run.labels, run.bases.shape
    ranks, rows = np.full((4, len(label)), np.nan), np.zeros(len(label))
    for s, mine in enumerate(label):
        rng = numpy_generator("null", 0, 2, s)
        sets = [run.directions[s, mine == c] for c in CLASSES]
        if (n := min(map(len, sets))) > 1:
            ranks[:2, s] = [_drawn_rank(x, n, rng, draws) for x in sets]
            ranks[2:, s] = [iid_effective_rank(n, k) if k else np.nan for k in (d, g * r)]
        rows[s] = n
    of = ("unstable latents", "stable latents", "i.i.d. directions", "i.i.d. ones in blocks")
    names = ("unstable_rank", "stable_rank", "iid_rank", "iid_rank_in_blocks")
    variables = {
        name: (("seed",), v / d, f"effective rank / D of {o}, rows matched")
        for name, o, v in zip(names[: 3 + bool(g)], of, ranks, strict=False)
    }
    return labelled(
        run,
        rank_rows=(("seed",), rows, "rows of each matched set", "latents"),
        **variables,
        **_in_blocks(run, label),
    )


def _drawn_rank(rows: Array, n: int, rng: np.random.Generator, draws: int) -> float:
    """Mean effective rank of n of the rows, one draw at a time, as they may be many."""
    drawn = (rng.choice(rows, n, replace=False) for _ in range(draws))
    return float(np.mean([effective_rank(x) for x in drawn]))


def _in_blocks(run: Run | Dictionaries, label: NDArray[np.str_]) -> dict[str, tuple[Any, ...]]:
    """Mean share of a latent's energy in the planted blocks, of both classes; none without blocks.

    Chance is the share of the dimensions.
    """
    g, d, r = run.bases.shape
    if not g:
        return {}
    energy = np.sum([block_energy(run.directions, basis) for basis in run.bases], axis=0)
    variables: dict[str, tuple[Any, ...]] = {
        "in_blocks_chance": ((), g * r / d, "of a random direction")
    }
    for c in CLASSES:
        n = (label == c).sum(axis=1)
        total = np.where(label == c, energy, 0).sum(axis=1)
        share = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
        text = f"mean share of energy in planted blocks, {c} latents"
        variables[f"{c}_in_blocks"] = (("seed",), share, text)
    return variables


def _sets(run: Run | Dictionaries, label: NDArray[np.str_], s: int) -> tuple[Array, ...]:
    """Unstable, stable and live directions of seed s, and the unstable ones of all other seeds."""
    rest, mine = np.arange(len(label)) != s, label[s]
    of_seed = (run.directions[s, mine == c] for c in CLASSES)
    others = run.directions[rest][label[rest] == "unstable"]
    return *of_seed, run.directions[s, mine != "dead"], others
