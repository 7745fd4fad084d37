"""The subspace of latents that are not stable: are they undertrained, or free to rotate?"""

import numpy as np
import xarray as xr

from synthsae.definitions import percent, shown
from synthsae.metrics import transfer
from synthsae.rng import numpy_generator
from synthsae.scores.run import Run, labelled


def not_stable_subspace(run: Run, draws: int = 8) -> xr.Dataset:
    """Whether the latents that are not stable span the same subspace in every seed.

    Let n be the smaller of the numbers of stable and of not stable live latents of a seed. n rows
    of its not stable latents are drawn, and r is the number of right singular vectors that hold the
    share `Definitions.energy` of their energy. `not_stable_transfer` is the share of the energy of
    the other seeds' not stable latents in the span of these r vectors. The null takes the first r
    vectors of n drawn *stable* latents of the seed: as many rows and as many dimensions. Both are
    means over draws, and NaN for a seed without stable or without not stable latents.

    Latents that are free to rotate inside blocks span the same subspace in every seed, and score
    above the null. So do undertrained features that stable features leave the same dimensions:
    a score above the null is no proof. Planted features are not used.

    Args:
        run: trained SAEs.
        draws: number of draws of both.
    """
    defined, most = run.definitions, percent(run.definitions.energy)
    stable, not_stable = run.live & (run.labels == "stable"), run.live & (run.labels != "stable")
    rng = numpy_generator("null", run.config.world_seed, len(run.blocks))
    dims, score, null = np.full((3, len(run.seeds)), np.nan)
    for s, d in enumerate(run.directions):
        rest = np.arange(len(run.seeds)) != s
        own, fixed = d[not_stable[s]], d[stable[s]]
        others = run.directions[rest][not_stable[rest]]
        n = min(len(own), len(fixed))
        if n == 0 or len(others) == 0:
            continue
        each = []
        for _ in range(draws):
            source, pool = (x[rng.choice(len(x), n, replace=False)] for x in (own, fixed))
            r = int(np.searchsorted(transfer.transfer_curve(source, source), defined.energy))
            curves = (transfer.transfer_curve(x, others)[r] for x in (source, pool))
            each.append((r, *curves))
        dims[s], score[s], null[s] = np.mean(each, axis=0)
    return labelled(
        run,
        not_stable_share=(
            ("seed",),
            not_stable.sum(axis=1) / run.live.sum(axis=1),
            f"share of live latents with p_hat < {shown(defined.stable)}",
        ),
        not_stable_dimension=(
            ("seed",),
            dims,
            f"dimensions that hold {most} of the energy of the drawn latents that are not stable",
        ),
        not_stable_transfer=(
            ("seed",),
            score,
            "energy of the other seeds' not stable latents in those dimensions",
        ),
        not_stable_transfer_null=(
            ("seed",),
            null,
            "the same with as many drawn stable latents of the seed",
        ),
    )
