"""Figures, drawn from saved Datasets alone, so that a plot never retrains."""

from synthsae.figures.asymmetry import cost_by_stability
from synthsae.figures.atoms import atoms_by_latents
from synthsae.figures.benchmark import scores_by_k
from synthsae.figures.budget import stability_by_budget
from synthsae.figures.budgets import scores_by_budget
from synthsae.figures.consensus import lists_by_seeds
from synthsae.figures.excess import excess_by_suspect
from synthsae.figures.kron import correlation_by_arch
from synthsae.figures.law import stability_by_beta
from synthsae.figures.pooling import pools_by_size
from synthsae.figures.rank import stability_by_rank
from synthsae.figures.report import stability_report
from synthsae.figures.seeds import stability_by_size
from synthsae.figures.song import agreement_by_samples
from synthsae.figures.sources import stability_by_source
from synthsae.figures.sparsity import stability_by_k
from synthsae.figures.transfer import transfer_of_unstable
from synthsae.figures.variants import architectures_at_matched_ev
from synthsae.figures.width import stability_by_width

__all__ = [
    "agreement_by_samples",
    "architectures_at_matched_ev",
    "atoms_by_latents",
    "correlation_by_arch",
    "cost_by_stability",
    "excess_by_suspect",
    "lists_by_seeds",
    "pools_by_size",
    "scores_by_budget",
    "scores_by_k",
    "stability_by_beta",
    "stability_by_budget",
    "stability_by_k",
    "stability_by_rank",
    "stability_by_size",
    "stability_by_source",
    "stability_by_width",
    "stability_report",
    "transfer_of_unstable",
]
