"""Figures that several studies share, drawn from saved Datasets: a figure never retrains."""

from synthsae.plot.report import stability_report

__all__ = ["stability_report"]
