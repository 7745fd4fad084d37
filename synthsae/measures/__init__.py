"""Measures of a trained cell: functions of a `results.Run` that return labelled Datasets."""

from synthsae.measures.atoms import atom_recovery
from synthsae.measures.axes import axis_recovery, flatness
from synthsae.measures.benchmark import benchmark_scores
from synthsae.measures.budget import training_budget
from synthsae.measures.budgets import at_budgets
from synthsae.measures.consensus import consensus_lists
from synthsae.measures.cost import training_cost
from synthsae.measures.covariance import correlation_recovery
from synthsae.measures.implied import implied_rank
from synthsae.measures.kinds import latent_kinds
from synthsae.measures.live import live_stability
from synthsae.measures.memory import start_memory
from synthsae.measures.reconstruction import reconstruction
from synthsae.measures.recovery import feature_recovery, subspace_recovery
from synthsae.measures.stability import block_stability, coverage_law, seed_agreement
from synthsae.measures.unstable import loose_subspace

__all__ = [
    "at_budgets",
    "atom_recovery",
    "axis_recovery",
    "benchmark_scores",
    "block_stability",
    "consensus_lists",
    "correlation_recovery",
    "coverage_law",
    "feature_recovery",
    "flatness",
    "implied_rank",
    "latent_kinds",
    "live_stability",
    "loose_subspace",
    "reconstruction",
    "seed_agreement",
    "start_memory",
    "subspace_recovery",
    "training_budget",
    "training_cost",
]
