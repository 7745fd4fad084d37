"""Measures of a trained cell: functions of a `results.Run` that return labelled Datasets."""

from synthsae.measures.asymmetry import latent_function
from synthsae.measures.atoms import atom_recovery
from synthsae.measures.axes import axis_recovery, flatness
from synthsae.measures.benchmark import benchmark_scores
from synthsae.measures.budget import training_budget
from synthsae.measures.budgets import at_budgets
from synthsae.measures.clusters import cluster_ranks
from synthsae.measures.consensus import consensus_lists
from synthsae.measures.cost import training_cost
from synthsae.measures.counts import reappearance_counts
from synthsae.measures.covariance import correlation_recovery
from synthsae.measures.ideal import ideal_code
from synthsae.measures.implied import implied_rank
from synthsae.measures.kinds import latent_kinds
from synthsae.measures.live import live_stability
from synthsae.measures.masking import masking_by_class
from synthsae.measures.matching import (
    matched_agreement,
    matched_agreement_all,
    nearest_agreement,
    shared_latents,
)
from synthsae.measures.memory import start_memory
from synthsae.measures.pooling import pools
from synthsae.measures.prediction import label_prediction
from synthsae.measures.rates import firing_rates
from synthsae.measures.reconstruction import reconstruction
from synthsae.measures.recovery import feature_recovery, subspace_recovery
from synthsae.measures.sparsity import planted_sparsity
from synthsae.measures.stability import (
    block_stability,
    coverage_law,
    initial_agreement,
    seed_agreement,
)
from synthsae.measures.transfer import class_dimension, unstable_transfer
from synthsae.measures.unions import unions
from synthsae.measures.unstable import loose_subspace

__all__ = [
    "at_budgets",
    "atom_recovery",
    "axis_recovery",
    "benchmark_scores",
    "block_stability",
    "class_dimension",
    "cluster_ranks",
    "consensus_lists",
    "correlation_recovery",
    "coverage_law",
    "feature_recovery",
    "firing_rates",
    "flatness",
    "ideal_code",
    "implied_rank",
    "initial_agreement",
    "label_prediction",
    "latent_function",
    "latent_kinds",
    "live_stability",
    "loose_subspace",
    "masking_by_class",
    "matched_agreement",
    "matched_agreement_all",
    "nearest_agreement",
    "planted_sparsity",
    "pools",
    "reappearance_counts",
    "reconstruction",
    "seed_agreement",
    "shared_latents",
    "start_memory",
    "subspace_recovery",
    "training_budget",
    "training_cost",
    "unions",
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
    firing_rates,
    reconstruction,
)
"""The stability report of any source: what needs neither the truth nor a text."""
