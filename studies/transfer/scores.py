"""Can the label of a latent be told without looking for it in the other seeds?"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae.arrays import Array, Mask
from synthsae.metrics import transfer
from synthsae.metrics.subspace import block_energy, learned_span
from synthsae.rng import numpy_generator
from synthsae.scores.run import Run, labelled

SHARED = "shared subspace"
SETS = ("decoder", "rate", "density", SHARED, "planted blocks")
"""What the labels are told from; see `label_prediction`."""


def label_prediction(run: Run) -> xr.Dataset:
    """F1 of "unstable" among stable and unstable latents of a seed, learned on the other seeds.

    A logistic regression that weights the two classes equally, fitted once for each seed left out:

    - decoder: the decoder direction (Gerasimov et al. report an F1 of .67 to .73);
    - rate: the logarithm of the firing rate;
    - density: largest, smallest and summed squared cosine to the other live latents of its seed;
    - shared subspace: energy in the top dimensions of the unstable latents that it learns from, as
      many as hold the share `Definitions.energy` of theirs;
    - planted blocks: energy in them; NaN where none are planted.

    Beside it, F1 of calling all unstable, and that of the same fit to labels permuted within seeds.
    All labels are of the whole run: p_hat of one seed has seen the seed that is left out. Seeds
    with only one of the classes are left out, as NaN.
    """
    label, energy = run.labels, run.definitions.energy
    kept = [s for s, here in enumerate(label) if {"stable", "unstable"} <= set(here)]
    truth = {s: label[s][_known(label[s])] == "unstable" for s in kept}
    x = {s: _features(run, s, _known(label[s])) for s in kept}
    score, null = np.full((2, len(label), len(SETS)), np.nan)
    for s in kept if len(kept) > 1 else ():
        train = [t for t in kept if t != s]
        rng = numpy_generator("null", run.config.world_seed, 3, run.seeds[s])
        mixed = [rng.permutation(truth[t]) for t in train]
        for f, name in enumerate(SETS):
            if name != "planted blocks" or len(run.bases):
                rows = [x[t][name] for t in (*train, s)]
                known, own = [truth[t] for t in train], energy if name == SHARED else None
                score[s, f] = _f1(rows, known, truth[s], own)
                null[s, f] = _f1(rows, mixed, truth[s], own)
    share = np.array([truth[s].mean() if s in kept else np.nan for s in range(len(label))])
    dims, learned = ("seed", "features"), "F1 of unstable, learned on the other seeds"
    return labelled(
        run,
        label_f1=(dims, score, learned),
        label_f1_permuted=(dims, null, f"{learned} with permuted labels"),
        label_f1_constant=(("seed",), 2 * share / (1 + share), "F1 of calling all unstable"),
    ).assign_coords(features=list(SETS))


def _known(label: NDArray[np.str_]) -> Mask:
    """The latents whose label is told."""
    return np.isin(label, ("stable", "unstable"))


def _features(run: Run, s: int, which: Mask) -> Mapping[str, Array]:
    """Features [n, P] of latents `which` of seed s, by the name of the set."""
    own = run.directions[s, which]
    inside = [block_energy(own, basis) for basis in run.bases]
    return {
        "decoder": own,
        "rate": np.log(run.evaluation.rates[s, which])[:, None],
        "density": _density(run.directions[s, run.live[s]], which[run.live[s]]),
        SHARED: own,
        "planted blocks": np.sum(inside, axis=0)[:, None] if inside else own[:, :0],
    }


def _density(d: Array, which: Mask, block: int = 1024) -> Array:
    """Largest, smallest, summed squared cosine of rows `which` of d [M, D] to the others, [n, 3].

    `block` rows at a time, which bounds memory.
    """
    rows = np.flatnonzero(which)
    out = np.empty((len(rows), 3))
    for at in range(0, len(rows), block):
        some = rows[at : at + block]
        c, itself = d[some] @ d.T, (np.arange(len(some)), some)
        for column, (nothing, fold) in enumerate(((-1, np.max), (1, np.min))):
            c[itself] = nothing
            out[at : at + block, column] = fold(c, axis=1)
        c[itself] = 0
        out[at : at + block, 2] = np.sum(c**2, axis=1)
    return out


def _f1(rows: Sequence[Array], labels: Sequence[Mask], answer: Mask, energy: float | None) -> float:
    """F1 of the fit to all but the last of `rows`, on the last; with `energy` to theirs in the
    subspace that holds that share of it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, y, test = np.concatenate(rows[:-1]), np.concatenate(labels), rows[-1]
    if energy is not None:
        span = _shared(train[y], energy)
        train, test = block_energy(train, span)[:, None], block_energy(test, span)[:, None]
    fit = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    ).fit(train, y)
    return float(f1_score(answer, fit.predict(test), zero_division=0.0))


def _shared(unstable: Array, energy: float) -> Array:
    """The top right singular subspace with that share of the energy of directions, [D, r]."""
    r = int(np.searchsorted(transfer.transfer_curve(unstable, unstable), energy))
    return learned_span(unstable, max(r, 1))
