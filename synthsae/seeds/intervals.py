"""Mean of a score over seeds or worlds, with the interval that fits how its numbers depend.

====================================  =======================================================
the score has                         its interval
====================================  =======================================================
two worlds or more                    `stats.mean_interval` of the worlds' means
pairs of seeds (seed_a, seed_b)       `stats.pairwise_interval`
a number a seed, which has it alone   `stats.mean_interval` of the seeds
a number a seed against the others    `stats.row_interval`
====================================  =======================================================

The last two look alike. `ALONE` tells them apart by the score's name.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from synthsae.arrays import Array
from synthsae.checks import one_of
from synthsae.stats import Interval, mean_interval, pairwise_interval, row_interval

# fmt: off
ALONE = frozenset({
    "atoms_found", "atoms_found_chance", "axis_closeness", "axis_cosine", "axis_cosine_null",
    "bench_accuracy", "bench_dead", "bench_f1", "bench_mcc", "bench_precision", "bench_recall",
    "bench_shrinkage", "bench_uniqueness", "block_feature_mcc", "block_latents",
    "budget_dead_fraction", "budget_explained_variance", "budget_feature_mcc", "budget_l0",
    "budget_latents_per_block", "budget_subspace_overlap", "dead_fraction", "dead_latents",
    "explained_variance", "feature_latents", "feature_mcc", "feature_splitting", "l0",
    "latent_cost", "latent_rate", "latents_per_block", "live_latents", "major_angle",
    "member_energy", "principal_angle", "rv", "rv_null", "rv_null_high", "rv_start",
    "start_memory", "subspace_overlap", "surplus_latents", "training_multiply_adds",
    "useless_share",
})
# fmt: on
"""Names of scores that do not change when other seeds are left out.

`row_interval` is used for every other name. It is wider than `mean_interval`, so that an unlisted
score gets an interval that is too wide rather than too narrow.
"""
PAIR, WORLD = ("seed_a", "seed_b"), "world_seed"
REPEATED = ("block", "angle", "side")
"""Dimensions inside a world, averaged first: their entries are no independent replicates."""


def interval(ds: xr.Dataset, name: str, level: float = 0.95) -> xr.Dataset:
    """Mean of the score `name` with its interval over seeds, or over worlds if there are several.

    Args:
        ds: results of a study, with dimensions `seed`, or `seed_a` and `seed_b`, and perhaps
            `world_seed`.
        name: a variable of `ds`.
        level: nominal coverage.

    Returns:
        `estimate`, `low` and `high` over the other dimensions. Blocks are averaged, NaN is left
        out. `low` and `high` are NaN where too few seeds are known, or where the score has neither
        seeds nor worlds. The module's table says which interval it is.

    Raises:
        ConfigError: no variable of that name, or a level outside (0, 1).
    """
    one_of("name", name, [str(v) for v in ds.data_vars])
    values = ds[name]
    gone = [d for d in values.dims if d in ("seed", *PAIR, WORLD, *REPEATED)]
    frame = values.isel(dict.fromkeys(gone, 0), drop=True)
    text = values.attrs.get("long_name", name)
    what = {"estimate": "mean", "low": "lower end", "high": "upper end"}
    about = {e: f"{text}: {w} of {level:.0%} interval" for e, w in what.items()}
    about["estimate"] = f"{text}: mean"
    return xr.Dataset(
        {
            end: frame.copy(data=data).assign_attrs(long_name=about[end])
            for end, data in interval_of(values, level)._asdict().items()
        }
    )


def interval_of(values: xr.DataArray, level: float = 0.95) -> Interval:
    """`interval` of an array, whose name says whether each seed has its numbers alone.

    Arrays without a name, such as differences of two scores, are taken to compare seeds.

    Returns:
        Estimate, low and high over the dimensions that are left, in their order.
    """
    values = values.mean([d for d in values.dims if d in REPEATED])
    pairs = all(d in values.dims for d in PAIR)
    if values.sizes.get(WORLD, 1) > 1:
        if pairs:
            values = values.where(values.seed_a != values.seed_b)
        inside = values.mean([d for d in values.dims if d in ("seed", *PAIR)])
        return _by_row(inside, (WORLD,), _finite(mean_interval, level))
    if WORLD in values.dims:
        values = values.squeeze(WORLD)
    if pairs:
        return _by_row(values, PAIR, lambda matrix: _pairs(matrix, level))
    if "seed" in values.dims:
        kind = mean_interval if values.name in ALONE else row_interval
        return _by_row(values, ("seed",), _finite(kind, level))
    return Interval(values.values, *np.full((2, *values.shape), np.nan))


UNKNOWN = Interval(*np.full(3, np.nan))


def _by_row(
    values: xr.DataArray, dims: tuple[str, ...], interval: Callable[[Array], Interval]
) -> Interval:
    """`interval` of the numbers along `dims`, for each entry of the other dimensions."""
    rows = values.transpose(..., *dims).values
    n = rows.ndim - len(dims)
    each = [interval(row) for row in rows.reshape(-1, *rows.shape[n:])]
    return Interval(*np.reshape(np.transpose(each), (3, *rows.shape[:n])))


def _finite(kind: Callable[[Array, float], Interval], level: float) -> Callable[[Array], Interval]:
    """An interval of the finite numbers of a row; unknown with fewer than two."""

    def interval(row: Array) -> Interval:
        kept = row[np.isfinite(row)]
        return kind(kept, level) if len(kept) > 1 else UNKNOWN

    return interval


def _pairs(matrix: Array, level: float) -> Interval:
    """The interval of a matrix over pairs of seeds, without seeds that lack a pair."""
    complete = _complete(matrix)
    return pairwise_interval(complete, level) if len(complete) > 1 else UNKNOWN


def _complete(matrix: Array) -> Array:
    """The matrix [seed, seed] without seeds that lack a pair; that with most gaps goes first."""
    bad = ~np.isfinite(matrix) & ~np.eye(len(matrix), dtype=bool)
    missing = bad.sum(axis=0) + bad.sum(axis=1)
    if not missing.any():
        return matrix
    kept = np.arange(len(matrix)) != missing.argmax()
    return _complete(matrix[np.ix_(kept, kept)])
