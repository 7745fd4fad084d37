"""Do the latents that no other seed finds live where those of other seeds do?"""

import numpy as np
import xarray as xr

from synthsae.geometry import Array
from synthsae.metrics import reappearance, transfer
from synthsae.metrics.rank import effective_rank, iid_effective_rank
from synthsae.metrics.subspace import block_energy
from synthsae.results import Run, labelled
from synthsae.rng import numpy_generator

RANDOM = 20
"""Random nested subspaces that the second null draws."""


def unstable_transfer(run: Run, draws: int = 8) -> xr.Dataset:
    """Energy of the other seeds' unstable latents in the top r dimensions of a seed's, r = 0..D.

    Unstable: p_hat <= .05. The nulls (`metrics.transfer`): r / D, the 95% range of random
    subspaces, and as many stable latents of the same seed in place of its unstable ones (or all,
    if those are fewer; `draws` times). The prediction, where blocks are planted: unstable latents
    fill all of their G R dimensions evenly and nothing else, min(1, r / (G R)). NaN where a seed
    has no unstable latent, no stable one for the null, or no other seed an unstable one.
    """
    label, d = reappearance.labels(run.p_hat), run.d_model
    curve, null, low, high = np.full((4, len(label), d + 1), np.nan)
    for s, seed in enumerate(run.seeds):
        rng = numpy_generator("null", run.config.world_seed, 1, seed)
        own, stable, others = _sets(run, label, s)
        if len(own) and len(others):
            curve[s] = transfer.transfer_curve(own, others)
            random = transfer.random_transfer(others, rng, RANDOM)
            low[s], high[s] = np.quantile(random, (0.025, 0.975), axis=0)
            if n := min(len(own), len(stable)):
                null[s] = transfer.matched_transfer(stable, others, n, rng, draws).mean(axis=0)
    dims, planted = ("seed", "r"), run.bases.shape[0] * run.bases.shape[2]
    variables = dict(
        transfer=(dims, curve, "energy of the others' unstable latents in its top r dimensions"),
        transfer_stable=(dims, null, "the same with as many of its stable latents"),
        transfer_random_low=(dims, low, "2.5% quantile for random subspaces"),
        transfer_random_high=(dims, high, "97.5% quantile for random subspaces"),
        transfer_chance=(("r",), np.arange(d + 1) / d, "mean for random subspaces, r / D"),
    )
    if planted:
        predicted = np.minimum(1, np.arange(d + 1) / planted)
        variables["transfer_predicted"] = (("r",), predicted, "all of it in blocks, evenly")
    return labelled(run, **variables).assign_coords(r=np.arange(d + 1))


def class_dimension(run: Run, draws: int = 8) -> xr.Dataset:
    """Effective rank of as many stable as unstable latents of a seed, and where the blocks are.

    Rows are matched in each seed: the smaller count, `draws` times. Beside them the value of as
    many i.i.d. directions, in all D dimensions and in those of the blocks. Where blocks are
    planted: the mean share of a latent's energy that they hold.
    """
    label, (g, d, r) = reappearance.labels(run.p_hat), run.bases.shape
    ranks, rows = np.full((4, len(label)), np.nan), np.zeros(len(label))
    inside = np.full((2, len(label)), np.nan)
    for s, seed in enumerate(run.seeds):
        rng = numpy_generator("null", run.config.world_seed, 2, seed)
        sets = [run.directions[s, label[s] == c] for c in ("unstable", "stable")]
        rows[s] = n = min(map(len, sets))
        for c, rows_of in enumerate(sets):
            if n:
                picks = [rng.choice(rows_of, n, replace=False) for _ in range(draws)]
                ranks[c, s] = effective_rank(np.stack(picks)).mean()
            if g and len(rows_of):
                inside[c, s] = sum(block_energy(rows_of, basis).mean() for basis in run.bases)
        if n:
            ranks[2:, s] = [iid_effective_rank(n, k) if k else np.nan for k in (d, g * r)]
    text = "effective rank / D of {} (row-matched)"
    names = ("unstable_rank", "stable_rank", "iid_rank", "iid_rank_in_blocks")
    of = ("unstable latents", "stable latents", "i.i.d. directions", "i.i.d. ones in the blocks")
    variables: dict[str, tuple] = {
        name: (("seed",), v / d, text.format(o))
        for name, o, v in zip(names, of, ranks, strict=True)
    }
    variables["rank_rows"] = (("seed",), rows, "rows of each set", "latents")
    if g:
        more = "mean share of energy in planted blocks, {} latents"
        for c, name in enumerate(("unstable", "stable")):
            variables[f"{name}_in_blocks"] = (("seed",), inside[c], more.format(name))
        variables["in_blocks_chance"] = ((), g * r / d, "the same of a random direction")
    else:
        del variables["iid_rank_in_blocks"]
    return labelled(run, **variables)


def _sets(run: Run, label: Array, s: int) -> tuple[Array, Array, Array]:
    """Unstable and stable directions of seed s, and the unstable ones of all other seeds."""
    rest = np.arange(len(label)) != s
    own, stable = (run.directions[s, label[s] == c] for c in ("unstable", "stable"))
    return own, stable, run.directions[rest][label[rest] == "unstable"]
