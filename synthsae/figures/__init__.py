"""Figures, drawn from saved Datasets alone, so that a plot never retrains."""

from synthsae.figures.rank import stability_by_rank

__all__ = ["stability_by_rank"]
