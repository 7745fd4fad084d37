"""Predictions without fitted parameters: from chance, geometry and symmetry.

Formulas, sources and reference numbers are in section 5 of docs/science.md; README.md lists the
functions. Each file is one idea.
"""

from synthsae.theory.allocation import (
    Allocation,
    Dictionary,
    Parts,
    allocate,
    least_loss,
    loss_curve,
)
from synthsae.theory.anisotropy import Cross, axis_closeness, best_cross, one_term_atoms
from synthsae.theory.bounds import unique_sparsity, welch_bound
from synthsae.theory.caps import cap_angle, cap_measure
from synthsae.theory.chance import (
    chance_found,
    chance_matched_cosine,
    chance_max_cosine,
    random_overlap,
)
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
from synthsae.theory.pooling import pooled_reappearance, seeds_needed
from synthsae.theory.report import BlockReport, identifiability_report

__all__ = [
    "Allocation",
    "BlockReport",
    "Cross",
    "Dictionary",
    "Parts",
    "RankEstimate",
    "allocate",
    "axis_closeness",
    "best_cross",
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
    "frame_loss",
    "generalised_normal",
    "identifiability_report",
    "implied_rank",
    "least_loss",
    "loss_curve",
    "one_term_atoms",
    "pooled_reappearance",
    "random_overlap",
    "rotation_excess",
    "seeds_needed",
    "turning_frames",
    "turning_rate",
    "unique_sparsity",
    "welch_bound",
]
