"""Measures of a trained cell: functions of a `results.Run` that return labelled Datasets."""

from synthsae.measures.axes import axis_recovery, flatness
from synthsae.measures.implied import implied_rank
from synthsae.measures.reconstruction import reconstruction
from synthsae.measures.recovery import feature_recovery, subspace_recovery
from synthsae.measures.stability import block_stability, coverage_law, seed_agreement

__all__ = [
    "axis_recovery",
    "block_stability",
    "coverage_law",
    "feature_recovery",
    "flatness",
    "implied_rank",
    "reconstruction",
    "seed_agreement",
    "subspace_recovery",
]
