"""One trained SAE at every budget: what if fewer latents may fire than in training?"""

import xarray as xr

from synthsae.measures.reconstruction import reconstruction
from synthsae.measures.recovery import feature_recovery, subspace_recovery
from synthsae.measures.stability import block_stability, coverage_law
from synthsae.results import Run

AT_BUDGET = (
    "explained_variance",
    "l0",
    "dead_fraction",
    "block_reappearance",
    "coverage_prediction",
    "coverage_prediction_sd",
    "latents_per_block",
    "subspace_overlap",
    "isolated_reappearance",
    "feature_mcc",
)
"""The measures that are taken at each budget."""


def at_budgets(run: Run) -> xr.Dataset:
    """`AT_BUDGET` with the `budget` = 1..k largest latents of each sample, `budget_NAME`.

    Directions are those of the one training. What a budget changes is which latents are live, so
    which are counted, and the explained variance. For architectures that choose k latents of a
    sample; the others fire as trained, whatever the budget.
    """
    each = []
    for k in range(1, run.config.sae.k + 1):
        cut = run.with_k(k)
        taken = (reconstruction, block_stability, coverage_law, subspace_recovery, feature_recovery)
        each.append(xr.merge([measure(cut) for measure in taken])[list(AT_BUDGET)])
    joined = xr.concat(each, xr.IndexVariable("budget", range(1, len(each) + 1)))
    return joined.rename({name: f"budget_{name}" for name in AT_BUDGET})
