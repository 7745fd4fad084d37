"""The subspace of latents that are not stable: are they undertrained, or free to rotate?"""

import numpy as np
import xarray as xr

from synthsae.definitions import percent, shown
from synthsae.metrics import transfer
from synthsae.rng import numpy_generator
from synthsae.scores.run import Run, labelled


def not_stable_subspace(run: Run, draws: int = 8) -> xr.Dataset:
    """Whether the latents that are not stable span the same subspace in every seed.

    Live latents that are not stable are called *loose* in the names of the variables. Let r be the
    number of right singular vectors of one seed's loose latents that hold the share
    `Definitions.energy` of their energy. `loose_transfer` is the share of the energy of the other
    seeds' loose latents in the span of these r vectors. The null takes as many random live latents
    of the seed, and the same r, so that directions in which all latents are large do not count.

    Undertrained latents are not stable in any subspace, and score as the null. Latents that are
    free to rotate inside blocks span the same subspace in every seed, and score above it. Planted
    features are not used. NaN without loose latents.

    Args:
        run: trained SAEs.
        draws: number of draws of the null.
    """
    defined, most = run.definitions, percent(run.definitions.energy)
    loose = run.live & (run.labels != "stable")
    rng = numpy_generator("null", run.config.world_seed, len(run.blocks))
    score, null, dims = np.full((3, len(loose)), np.nan)
    for s, keep in enumerate(loose):
        rest = np.arange(len(loose)) != s
        own, others = run.directions[s, keep], run.directions[rest][loose[rest]]
        if len(own) == 0 or len(others) == 0:
            continue
        r = int(np.searchsorted(transfer.transfer_curve(own, own), defined.energy))
        live = run.directions[s, run.live[s]]
        dims[s], score[s] = r, transfer.transfer_curve(own, others)[r]
        null[s] = transfer.matched_transfer(live, others, len(own), rng, draws)[:, r].mean()
    return labelled(
        run,
        loose_share=(
            ("seed",),
            loose.sum(axis=1) / run.live.sum(axis=1),
            f"share of live latents with p_hat < {shown(defined.stable)}",
        ),
        loose_dimension=(
            ("seed",),
            dims,
            f"dimensions that hold {most} of the energy of a seed's loose latents",
        ),
        loose_transfer=(
            ("seed",),
            score,
            "energy of the other seeds' loose latents in those dimensions",
        ),
        loose_transfer_null=(
            ("seed",),
            null,
            "the same with as many of all live latents of the seed",
        ),
    )
