"""Do unstable latents of different seeds live in the same subspace?"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae.arrays import Array
from synthsae.metrics import transfer
from synthsae.metrics.rank import effective_rank, iid_effective_rank
from synthsae.metrics.subspace import block_energy
from synthsae.rng import numpy_generator
from synthsae.scores.needs import requires
from synthsae.scores.run import Dictionaries, Run, labelled

CLASSES = ("unstable", "stable")
RANDOM = 20
"""Number of random subspaces that give `transfer_random_low` and `transfer_random_high`."""


def unstable_transfer(run: Run | Dictionaries, draws: int = 8) -> xr.Dataset:
    """Energy of the other seeds' unstable latents in the top r dimensions of a seed's, r = 0..D.

    Nulls (`metrics.transfer`):

    - `transfer_chance`, `transfer_random_low`, `transfer_random_high`: random subspaces of the same
      dimension; the mean is r / D.
    - `transfer_stable`: as many stable latents of the same seed (all of them, if those are fewer).
    - `transfer_other`: live latents of the same seed that are not unstable, n of them. It is
      above chance where all latents share directions. n is the smaller of the two numbers, and
      `transfer_excess` is what n *unstable* latents capture beyond it: equal rows on both sides.

    Nulls and the excess are means over `draws` random choices. NaN for a seed without unstable
    latents, without stable ones (`transfer_stable`) or others (`transfer_other`, `_excess`), and
    where no other seed has unstable ones.
    """
    label, d = run.labels, run.d_model
    curve, null, other, excess, low, high = np.full((6, len(label), d + 1), np.nan)
    targets = [
        transfer.target_of(x[mine == "unstable"])
        for x, mine in zip(run.directions, label, strict=True)
    ]
    for s in range(len(label)):
        rng = numpy_generator("null", 0, 1, s)
        own, stable, rest = _sets(run, label, s)
        others = _sum(targets[:s] + targets[s + 1 :])
        if len(own) and others.n:
            curve[s] = transfer.transfer_curve(own, others)
            random = transfer.random_transfer(others, rng, RANDOM)
            low[s], high[s] = np.quantile(random, (0.025, 0.975), axis=0)
            if n := min(len(own), len(stable)):
                null[s] = transfer.matched_transfer(stable, others, n, rng, draws).mean(axis=0)
            if n := min(len(own), len(rest)):
                same, other[s] = (
                    transfer.matched_transfer(rows, others, n, rng, draws).mean(axis=0)
                    for rows in (own, rest)
                )
                excess[s] = same - other[s]
    dims = ("seed", "r")
    return labelled(
        run,
        transfer=(dims, curve, "energy of the others' unstable latents in its top r dimensions"),
        transfer_stable=(dims, null, "the same with as many of its stable latents"),
        transfer_other=(dims, other, "the same with its latents that are not unstable"),
        transfer_excess=(dims, excess, "what as many unstable latents capture beyond these"),
        transfer_random_low=(dims, low, "2.5% quantile for random subspaces"),
        transfer_random_high=(dims, high, "97.5% quantile for random subspaces"),
        transfer_chance=(("r",), np.arange(d + 1) / d, "mean for random subspaces, r / D"),
    ).assign_coords(r=np.arange(d + 1))


@requires("blocks", "separate blocks")
def predicted_transfer(run: Run) -> xr.Dataset:
    """`unstable_transfer` if unstable latents fill the G R dimensions of the blocks evenly and
    nothing else: min(1, r / (G R)).
    """
    r = np.arange(run.d_model + 1)
    predicted = np.minimum(1, r / (run.bases.shape[0] * run.bases.shape[2]))
    ds = labelled(run, transfer_predicted=(("r",), predicted, "all of it in blocks, evenly"))
    return ds.assign_coords(r=r)


def class_dimension(run: Run | Dictionaries, draws: int = 8) -> xr.Dataset:
    """Effective rank over D of the unstable and of the stable latents of each seed.

    Both sets have `rank_rows` latents: as many as the smaller class has, drawn `draws` times from
    the larger one. NaN for fewer than two. Beside them is the value of as many i.i.d. directions.
    """
    label, d = run.labels, run.d_model
    ranks, rows = np.full((2, len(label)), np.nan), matched_rows(label)
    for s, n in enumerate(rows):
        rng = numpy_generator("null", 0, 2, s)
        if n > 1:
            sets = [run.directions[s, label[s] == c] for c in CLASSES]
            ranks[:, s] = [_drawn_rank(x, n, rng, draws) for x in sets]
    text = "effective rank / D of {}, rows matched"
    return labelled(
        run,
        rank_rows=(("seed",), rows.astype(float), "rows of each matched set", "latents"),
        unstable_rank=(("seed",), ranks[0] / d, text.format("unstable latents")),
        stable_rank=(("seed",), ranks[1] / d, text.format("stable latents")),
        iid_rank=(("seed",), _iid_rank(rows, d) / d, text.format("i.i.d. directions")),
    )


@requires("blocks", "separate blocks")
def class_energy_in_blocks(run: Run) -> xr.Dataset:
    """How much of the energy of unstable and of stable latents the planted blocks hold.

    Beside it is the share of a random direction, G R / D, and `iid_rank_in_blocks`: the effective
    rank of `class_dimension` for directions that are i.i.d. within the blocks.
    """
    label, (g, d, r) = run.labels, run.bases.shape
    energy = np.sum([block_energy(run.directions, basis) for basis in run.bases], axis=0)
    share: dict[str, tuple[Any, ...]] = {}
    for c in CLASSES:
        n = (label == c).sum(axis=1)
        total = np.where(label == c, energy, 0).sum(axis=1)
        mean = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
        text = f"mean share of energy in planted blocks, {c} latents"
        share[f"{c}_in_blocks"] = (("seed",), mean, text)
    return labelled(
        run,
        iid_rank_in_blocks=(
            ("seed",),
            _iid_rank(matched_rows(label), g * r) / d,
            "effective rank / D of i.i.d. ones in blocks, rows matched",
        ),
        in_blocks_chance=((), g * r / d, "of a random direction"),
        **share,
    )


def matched_rows(label: NDArray[np.str_]) -> NDArray[np.intp]:
    """Number of latents in the smaller of the two classes, of each seed: [S, M] -> [S]."""
    return np.min([(label == c).sum(axis=1) for c in CLASSES], axis=0)


def _iid_rank(rows: NDArray[np.intp], d: int) -> Array:
    """Effective rank of so many i.i.d. directions in d dimensions, NaN for fewer than two."""
    return np.array([iid_effective_rank(n, d) if n > 1 else np.nan for n in rows])


def _drawn_rank(rows: Array, n: int, rng: np.random.Generator, draws: int) -> float:
    """Mean effective rank of n of the rows, one draw at a time, as they may be many."""
    drawn = (rng.choice(rows, n, replace=False) for _ in range(draws))
    return float(np.mean([effective_rank(x) for x in drawn]))


def _sets(run: Run | Dictionaries, label: NDArray[np.str_], s: int) -> tuple[Array, ...]:
    """Unstable and stable directions of seed s, and its live ones that are not unstable."""
    x, mine = run.directions[s], label[s]
    return *(x[mine == c] for c in CLASSES), x[run.live[s] & (mine != "unstable")]


def _sum(targets: list[transfer.Target]) -> transfer.Target:
    """The target that several sets of directions make together."""
    energy, n = zip(*targets, strict=True)
    return transfer.Target(np.sum(energy, axis=0), sum(n))
