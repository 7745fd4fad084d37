"""Drawings that several studies share, of saved Datasets alone: a plot never retrains."""

from synthsae.plot.report import stability_report

__all__ = ["stability_report"]
