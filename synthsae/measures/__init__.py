"""Measures of a trained cell: functions of a `results.Run` that return labelled Datasets."""

from synthsae.measures.implied import implied_rank
from synthsae.measures.reconstruction import reconstruction
from synthsae.measures.recovery import feature_recovery, subspace_recovery
from synthsae.measures.stability import block_stability, coverage_law, seed_agreement

__all__ = [
    "block_stability",
    "coverage_law",
    "feature_recovery",
    "implied_rank",
    "reconstruction",
    "seed_agreement",
    "subspace_recovery",
]
