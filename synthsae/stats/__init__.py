"""Intervals, tests and nulls in which the seed is the unit of replication."""

from synthsae.stats.intervals import (
    Interval,
    bootstrap_interval,
    interval_coverage,
    jackknife_interval,
    mean_interval,
    pairwise_interval,
    row_interval,
)
from synthsae.stats.nulls import Null, labelled, null_summary, random_direction_null, rotation_null
from synthsae.stats.permutation import group_test, permutation_test, sign_flip_test

__all__ = [
    "Interval",
    "Null",
    "bootstrap_interval",
    "group_test",
    "interval_coverage",
    "jackknife_interval",
    "labelled",
    "mean_interval",
    "null_summary",
    "pairwise_interval",
    "permutation_test",
    "random_direction_null",
    "rotation_null",
    "row_interval",
    "sign_flip_test",
]
