"""Do matched latents vary together where their planted features do?"""

import numpy as np
import torch
import xarray as xr

from synthsae.arrays import Array
from synthsae.evaluation import held_out
from synthsae.metrics import latent
from synthsae.metrics.covariance import permuted_rv, rv
from synthsae.rng import numpy_generator
from synthsae.sae import SAEStack
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled

MATRICES = {
    "covariance": ("codes", True),
    "covariance off diagonal": ("codes", False),
    "decoder": ("rows", True),
    "decoder off diagonal": ("rows", False),
}
"""What is compared with the covariance of the planted features, and whether diagonals count."""


@requires("stack", "features")
def correlation_recovery(run: Run, draws: int = 99) -> xr.Dataset:
    """RV between the covariance of planted features and two matrices of matched latents.

    The truth is the covariance of the features' magnitudes on the held-out samples, firing and not.
    `covariance` is that of latents' activations on the same samples; `decoder` is the Gram matrix
    of unit decoder rows, which asks whether what fires together points together. Latents are
    matched to features by the Hungarian on signed cosines, dead ones too; where M is not F, what
    has no partner is left out. Nulls: matchings permuted at random, and the SAEs at step 0, with a
    matching of their own.
    """
    n = run.config.eval_samples
    first = SAEStack.init(
        run.config.sae,
        run.d_model,
        run.config.train.init_seeds(run.seeds),
        run.saes.params["w_dec"].device,
    )
    truth, codes = covariances(run.saes, run, n)
    _, codes_first = covariances(first, run, n)
    shape = (len(run.seeds), len(MATRICES))
    score, start, null, high = np.full((4, *shape), np.nan)
    rng = numpy_generator("null", run.config.world_seed)
    for s in range(len(run.seeds)):
        trained = _matched(run.directions[s], codes[s], run.world.features, truth)
        random = _matched(first.directions()[s], codes_first[s], run.world.features, truth)
        for j, (which, diagonal) in enumerate(MATRICES.values()):
            score[s, j] = rv(trained["truth"], trained[which], diagonal)
            start[s, j] = rv(random["truth"], random[which], diagonal)
            each = permuted_rv(trained["truth"], trained[which], rng, draws, diagonal)
            null[s, j], high[s, j] = each.mean(), np.quantile(each, 0.975)
    dims = ("seed", "matrix")
    return labelled(
        run,
        rv=(dims, score, "RV of matched latents with the covariance of the planted features"),
        rv_start=(dims, start, "the same at step 0"),
        rv_null=(dims, null, "the same with permuted matchings, mean"),
        rv_null_high=(dims, high, "the same with permuted matchings, quantile .975"),
    ).assign_coords(matrix=list(MATRICES))


def covariances(stack: SAEStack, run: Run, n_samples: int) -> tuple[Array, Array]:
    """Covariance of what is planted [F, F] and of the activations of latents [S, M, M]."""
    moments: list[torch.Tensor] = []
    w = stack.params["w_dec"]
    for held in held_out(run.world, n_samples, stack=stack):
        codes = stack.encode(held.x).dense(w.shape[1])
        truth = held.rows_of(run.world.magnitudes, device=w.device)
        parts = [m for z in (truth[None], codes) for m in (z.double().sum(1), _second(z))]
        moments = [a + b for a, b in zip(moments, parts, strict=True)] if moments else parts
    one, two, first, second = (m / n_samples for m in moments)
    planted, latents = (
        (b - a[:, :, None] * a[:, None]).cpu().numpy() for a, b in ((one, two), (first, second))
    )
    return planted[0], latents


def _second(z: torch.Tensor) -> torch.Tensor:
    """z^T z of each SAE, [S, B, M] -> [S, M, M] in float64."""
    return torch.stack([rows.double().T @ rows.double() for rows in z])


def _matched(directions: Array, codes: Array, features: Array, truth: Array) -> dict[str, Array]:
    """The matrices over the pairs of one SAE's Hungarian matching, [N, N] each."""
    rows, cols, _ = latent.match(directions, features)
    gram = directions[rows] @ directions[rows].T
    return {
        "truth": truth[np.ix_(cols, cols)],
        "codes": codes[np.ix_(rows, rows)],
        "rows": (gram + gram.T) / 2,
    }
