"""Scores of a trained cell: functions that take a `Run` and return a labelled Dataset."""

from synthsae.scores.axes import axis_recovery
from synthsae.scores.budget import training_budget
from synthsae.scores.clusters import cluster_ranks
from synthsae.scores.cost import training_cost
from synthsae.scores.counts import reappearance_counts
from synthsae.scores.kinds import latent_kinds
from synthsae.scores.latent_rank import rank_by_class
from synthsae.scores.live import live_stability
from synthsae.scores.matching import (
    matched_agreement,
    matched_agreement_all,
    nearest_agreement,
    shared_latents,
)
from synthsae.scores.rates import firing_rates
from synthsae.scores.reconstruction import reconstruction
from synthsae.scores.recovery import feature_recovery, subspace_recovery
from synthsae.scores.stability import (
    block_stability,
    coverage_law,
    initial_agreement,
    seed_agreement,
)
from synthsae.scores.transfer import (
    class_dimension,
    class_energy_in_blocks,
    predicted_transfer,
    unstable_transfer,
)

__all__ = [
    "axis_recovery",
    "block_stability",
    "class_dimension",
    "class_energy_in_blocks",
    "cluster_ranks",
    "coverage_law",
    "feature_recovery",
    "firing_rates",
    "initial_agreement",
    "latent_kinds",
    "live_stability",
    "matched_agreement",
    "matched_agreement_all",
    "nearest_agreement",
    "predicted_transfer",
    "rank_by_class",
    "reappearance_counts",
    "reconstruction",
    "seed_agreement",
    "shared_latents",
    "subspace_recovery",
    "training_budget",
    "training_cost",
    "unstable_transfer",
]

REPORT = (
    training_budget,
    initial_agreement,
    live_stability,
    reappearance_counts,
    matched_agreement,
    nearest_agreement,
    shared_latents,
    unstable_transfer,
    class_dimension,
    cluster_ranks,
    rank_by_class,
    firing_rates,
    reconstruction,
)
"""Scores of the stability report, which any source has: none needs a planted world or text."""

REPORT_OF_BLOCKS = (predicted_transfer, class_energy_in_blocks)
"""What planted blocks add to `REPORT`."""
