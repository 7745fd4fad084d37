"""One trained SAE at every budget: what if fewer latents may fire than in training?"""

from collections.abc import Sequence

import xarray as xr

from synthsae.scores.live import live_stability
from synthsae.scores.needs import requires
from synthsae.scores.reconstruction import reconstruction
from synthsae.scores.recovery import feature_recovery, subspace_recovery
from synthsae.scores.run import Run, Score
from synthsae.scores.stability import block_stability, coverage_law

AT_BUDGET = (
    "explained_variance",
    "l0",
    "dead_fraction",
    "live_reappearance",
    "live_reappearance_chance",
)
"""Variables that any source has at each budget."""

AT_BUDGET_OF_WORLDS = (
    "block_reappearance",
    "coverage_prediction",
    "coverage_prediction_sd",
    "latents_per_block",
    "subspace_overlap",
    "isolated_reappearance",
    "feature_mcc",
)
"""Variables that a planted world has as well."""


@requires("stack")
def at_budgets(run: Run) -> xr.Dataset:
    """`AT_BUDGET` with the `budget` = 1..k largest latents of each sample, as `budget_NAME`.

    The decoder directions are those of the one training. The budget changes the explained variance
    and which latents are live, and so which latents are counted. It changes nothing for
    architectures that do not choose k latents of a sample.
    """
    return _at_each_budget(run, (reconstruction, live_stability), AT_BUDGET)


@requires("stack", "planted")
def planted_at_budgets(run: Run) -> xr.Dataset:
    """`AT_BUDGET_OF_WORLDS` at each budget, as in `at_budgets`."""
    taken = (block_stability, coverage_law, subspace_recovery, feature_recovery)
    return _at_each_budget(run, taken, AT_BUDGET_OF_WORLDS)


def _at_each_budget(run: Run, scores: Sequence[Score], names: Sequence[str]) -> xr.Dataset:
    """The variables `names` of `scores` at each budget, as `budget_NAME`."""
    budgets = range(1, run.config.sae.k + 1)
    each = []
    for k in budgets:
        smaller = run.with_k(k)
        each.append(xr.merge([score(smaller) for score in scores])[list(names)])
    joined = xr.concat(each, xr.IndexVariable("budget", budgets))
    return joined.rename({name: f"budget_{name}" for name in names})
