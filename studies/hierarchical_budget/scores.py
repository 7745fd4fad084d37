"""One trained SAE at every budget: what if fewer latents may fire than in training?"""

import xarray as xr

from synthsae.scores.live import live_stability
from synthsae.scores.needs import requires
from synthsae.scores.reconstruction import reconstruction
from synthsae.scores.recovery import feature_recovery, subspace_recovery
from synthsae.scores.run import Run
from synthsae.scores.stability import block_stability, coverage_law

AT_BUDGET = (
    "explained_variance",
    "l0",
    "dead_fraction",
    "live_reappearance",
    "live_reappearance_chance",
)
"""What is measured at each budget, whatever the source."""

AT_BUDGET_OF_WORLDS = (
    "block_reappearance",
    "coverage_prediction",
    "coverage_prediction_sd",
    "latents_per_block",
    "subspace_overlap",
    "isolated_reappearance",
    "feature_mcc",
)
"""And where the truth is known."""


@requires("stack")
def at_budgets(run: Run) -> xr.Dataset:
    """Scores with the `budget` = 1..k largest latents of each sample, as `budget_NAME`.

    `AT_BUDGET`, on a planted world also `AT_BUDGET_OF_WORLDS`.

    Directions are those of the one training. What a budget changes is which latents are live, so
    which are counted, and the explained variance. For architectures that choose k latents of a
    sample; the others fire as trained, whatever the budget.
    """
    names, taken = list(AT_BUDGET), [reconstruction, live_stability]
    if run.planted:
        names += AT_BUDGET_OF_WORLDS
        taken += [block_stability, coverage_law, subspace_recovery, feature_recovery]
    each = []
    for k in range(1, run.config.sae.k + 1):
        cut = run.with_k(k)
        each.append(xr.merge([measure(cut) for measure in taken])[names])
    joined = xr.concat(each, xr.IndexVariable("budget", range(1, len(each) + 1)))
    return joined.rename({name: f"budget_{name}" for name in names})
