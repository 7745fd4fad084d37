"""Figures, drawn from saved Datasets alone, so that a plot never retrains."""

from synthsae.figures.law import stability_by_beta
from synthsae.figures.rank import stability_by_rank

__all__ = [
    "stability_by_beta",
    "stability_by_rank",
]
