"""Predictions in which nothing is fitted: what chance, geometry and symmetry say.

Formulas, sources and reference numbers: section 5 of the science notes; one idea a file.
"""

from synthsae.theory.bounds import sufficient_samples, unique_sparsity, welch_bound
from synthsae.theory.caps import cap_angle, cap_measure
from synthsae.theory.chance import chance_found, chance_matched_cosine, chance_max_cosine
from synthsae.theory.coverage import (
    coverage_a_priori,
    coverage_closed,
    coverage_independent,
    coverage_monte_carlo,
)
from synthsae.theory.cross_polytope import coverage_cross_polytope
from synthsae.theory.flatness import frame_loss, generalised_normal, rotation_excess
from synthsae.theory.identification import turning_frames, turning_rate
from synthsae.theory.inverse import RankEstimate, implied_rank
from synthsae.theory.merging import Merging, feature_merging
from synthsae.theory.pooling import pooled_reappearance, seeds_needed
from synthsae.theory.report import BlockReport, identifiability_report
from synthsae.theory.sparse_coding import exact_l0_loss, exact_l1_code
from synthsae.theory.subspaces import effective_rank_null, random_overlap

__all__ = [
    "BlockReport",
    "Merging",
    "RankEstimate",
    "cap_angle",
    "cap_measure",
    "chance_found",
    "chance_matched_cosine",
    "chance_max_cosine",
    "coverage_a_priori",
    "coverage_closed",
    "coverage_cross_polytope",
    "coverage_independent",
    "coverage_monte_carlo",
    "effective_rank_null",
    "exact_l0_loss",
    "exact_l1_code",
    "feature_merging",
    "frame_loss",
    "generalised_normal",
    "identifiability_report",
    "implied_rank",
    "pooled_reappearance",
    "random_overlap",
    "rotation_excess",
    "seeds_needed",
    "sufficient_samples",
    "turning_frames",
    "turning_rate",
    "unique_sparsity",
    "welch_bound",
]
