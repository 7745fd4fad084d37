"""Do the latents that come back carry the function, and is it because they come back?"""

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from synthsae.studies.asymmetry.codes import Codes, shares

from synthsae.arrays import Array
from synthsae.metrics import masking
from synthsae.metrics.function import Residual
from synthsae.metrics.regression import least_squares
from synthsae.metrics.subspace import block_energy
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled

AT_ONCE = 2048
"""Latents whose costs are computed at a time, which bounds memory."""


def removal(run: Run) -> tuple[Array, Array]:
    """(cost, energy) of every latent, [S, M] each, as shares of the variance of the samples.

    The cost is the EV lost when the latent alone is zeroed, the mean of 2 z <e, w> + z^2 |w|^2; the
    energy is the second part: rate times mean square. The first is 0 where training has converged:
    an encoder's row and bias scale z, so the gradient along themselves is -2 z <e, w> on average.
    (A penalty on z adds to that gradient.)
    """
    m = run.live.shape[1]
    parts = [slice(at, at + AT_ONCE) for at in range(0, m, AT_ONCE)]

    def errors(batch: Codes) -> list[Residual]:
        whole, out = Residual.of(batch.x, batch.x_hat), []
        for part in parts:
            z, w = batch.z[:, part].astype(float), batch.w[part].astype(float)
            squares = np.sum(z**2, axis=0) * np.sum(w**2, axis=1)
            alone = masking.removal_errors(batch.x, batch.x_hat, z, w)
            out += [alone, replace(whole, error=squares)]
        return [whole, *out]

    fvus = [(f[0], np.concatenate(f[1::2]), np.concatenate(f[2::2])) for f in shares(run, errors)]
    return np.array([alone - whole for whole, alone, _ in fvus]), np.array([e for _, _, e in fvus])


@requires("stack")
def latent_function(run: Run) -> xr.Dataset:
    """Firing rate, cost and p_hat of every live latent, and what p_hat explains beside the rate.

    The regression is log cost on log rate and p_hat, over the live latents of a seed whose removal
    costs anything (`useless_share` are the others); the means are of each class of
    `Run.labels`.
    """
    cost, energy = (np.where(run.live, v, np.nan) for v in removal(run))
    rate = np.where(run.live, run.evaluation.rates, np.nan)
    label, each = run.labels, ("seed", "latent")
    variables: dict[str, tuple] = dict(
        latent_rate=(each, rate, "firing rate of a live latent"),
        latent_cost=(each, cost, "EV lost when a live latent alone is zeroed"),
        latent_reappearance=(each, run.p_hat, "p_hat of a live latent"),
        class_share=(
            ("seed", "label"),
            np.transpose([(label == c).sum(1) / run.live.sum(1) for c in masking.CLASSES]),
            "share of live latents, by class",
        ),
        class_rate=_by_class(label, rate, "firing rate of a latent"),
        class_cost=_by_class(label, cost, "EV lost when a latent alone is zeroed"),
        class_energy=_by_class(label, energy, "rate times mean square of a latent, over variance"),
        **_regression(cost, rate, run.p_hat),
    )
    return labelled(run, **variables).assign_coords(label=list(masking.CLASSES))


@requires("blocks", "separate blocks")
def class_in_blocks(run: Run) -> xr.Dataset:
    """Share of the latents of each class whose energy is inside planted blocks.

    Inside: the blocks together hold a share `Definitions.member` of it or more.
    """
    energy = np.sum([block_energy(run.directions, basis) for basis in run.bases], axis=0)
    inside = energy >= run.definitions.member
    share = _by_class(run.labels, inside, "share of latents inside planted blocks")
    ds = labelled(run, class_in_blocks=share)
    return ds.assign_coords(label=list(masking.CLASSES))


def _by_class(label: NDArray[np.str_], values: Array, text: str) -> tuple:
    """Mean of `values` [S, M] over each class of each seed, NaN where it is empty."""
    out = np.full((len(label), len(masking.CLASSES)), np.nan)
    for s, here in enumerate(label):
        for c, name in enumerate(masking.CLASSES):
            if (here == name).any():
                out[s, c] = values[s, here == name].mean()
    return ("seed", "label"), out, f"mean {text}, by class"


def _regression(cost: Array, rate: Array, p_hat: Array) -> dict[str, tuple]:
    """`least_squares` of log cost on log rate and p_hat in each seed: all are [S, M]."""
    useful = np.nan_to_num(cost) > 0
    fits = [
        least_squares(np.log(c[u]), np.column_stack([np.log(r[u]), p[u]]))
        for c, r, p, u in zip(cost, rate, p_hat, useful, strict=True)
    ]
    slopes, beta = np.array([f.slopes for f in fits]), np.array([f.standardised for f in fits])
    unique, on = np.array([f.unique for f in fits]), "log cost on log rate and p_hat"
    numbers = {
        "cost_r2": ([f.r2 for f in fits], f"R^2 of {on}"),
        "rate_unique": (unique[:, 0], f"R^2 that rate adds to p_hat: {on}"),
        "p_hat_unique": (unique[:, 1], f"R^2 that p_hat adds to rate: {on}"),
        "rate_beta": (beta[:, 0], f"standardised coefficient of log rate: {on}"),
        "p_hat_beta": (beta[:, 1], f"standardised coefficient of p_hat: {on}"),
        "rate_slope": (slopes[:, 0], f"coefficient of log rate: {on}"),
        "p_hat_slope": (
            slopes[:, 1],
            "log of the cost of a latent with p_hat 1 over that of one with p_hat 0 at equal rate",
        ),
        "useless_share": (
            1 - useful.sum(axis=1) / np.isfinite(cost).sum(axis=1),
            "share of live latents whose removal costs nothing",
        ),
    }
    return {name: (("seed",), *rest) for name, rest in numbers.items()}
