"""How many planted directions a sample needs: what k has to be, known before any training."""

import numpy as np
import xarray as xr

from synthsae.arrays import Array
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.world import WorldConfig

SHARE = 0.99
"""Share of the samples that `planted_l0_high` directions are enough for."""


@requires("independent gates")
def planted_sparsity(run: Run) -> xr.Dataset:
    """The mean number of planted directions that are active in a sample, and its 99% quantile.

    An active block counts with the directions of its code: R, or under the sparse law its active
    atoms. Exact for gates that do not depend on each other (no correlations, no trees).
    """
    p = need(run.config.world)
    return labelled(
        run,
        planted_l0=((), float(p @ np.arange(len(p))), "mean number of active planted directions"),
        planted_l0_high=(
            (),
            float(np.searchsorted(np.cumsum(p), SHARE)),
            f"active planted directions, at most, in {SHARE:.0%} of samples",
        ),
    )


def need(c: WorldConfig) -> Array:
    """Probability of 0, 1, ... active planted directions in a sample of independent gates."""
    m = (c.n_atoms or c.rank) if c.law == "sparse" else 0
    gates = [(1, p) for p in c.firing_probabilities()]
    gates += [(1, 1 - (1 - c.block_p) ** (1 / m)) for _ in range(c.n_blocks * m)]
    gates += [(c.rank, c.block_p)] * (c.n_blocks if not m else 0)
    gates += [(2, c.circle_p)] * c.n_circles
    p = np.ones(1)
    for size, fires in gates:
        p = np.convolve(p, np.append(1 - fires, np.append(np.zeros(size - 1), fires)))
    return p
