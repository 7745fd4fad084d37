"""Nulls of scores of a stack: latents in random directions, or turned at random inside a block."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import xarray as xr

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown, numbers, plain, within
from synthsae.geometry import haar, unit
from synthsae.stats.intervals import Interval
from synthsae.stats.values import Rng, all_finite, p_value

Statistic = Callable[[Array, NDArray[np.bool_]], ArrayLike]


class Null(NamedTuple):
    """An observed statistic [...] beside its null: mean, standard deviation, 95% range, p-value."""

    observed: Array
    mean: Array
    sd: Array
    low: Array
    high: Array
    p: Array


def random_direction_null(
    statistic: Statistic, directions: ArrayLike, live: ArrayLike, *, draws: int = 99, rng: Rng = 0
) -> Array:
    """`statistic(directions, live)` with every live direction redrawn uniformly: [draws, ...].

    `directions` [S, M, D] and `live` [S, M]: each seed keeps its live count, so the null is
    matched.
    """
    d, on = _stack(directions, live)
    within("draws", draws, 1)
    gen = np.random.default_rng(rng)
    out = []
    for _ in range(draws):
        fresh = d.copy()
        fresh[on] = unit(gen.standard_normal((int(on.sum()), d.shape[-1])))
        out.append(np.asarray(statistic(fresh, on), dtype=float))
    return np.array(out)


def rotation_null(
    statistic: Statistic,
    directions: ArrayLike,
    live: ArrayLike,
    basis: ArrayLike | None = None,
    *,
    draws: int = 99,
    rng: Rng = 0,
) -> Array:
    """`statistic(directions, live)` with each seed Haar-rotated inside span `basis`: [draws, ...].

    Whole codes move rigidly, with all their angles, and the complement of `basis` [D, R]
    (orthonormal columns; None rotates all of R^D) stays: subspace measures of the block do not
    change, measures of latents fall to the coverage law. The live count is matched because nothing
    is redrawn.
    """
    d, on = _stack(directions, live)
    u = np.eye(d.shape[-1]) if basis is None else numbers("basis", basis)
    rank = u.shape[-1] if u.ndim == 2 else 0
    if u.shape != (d.shape[-1], rank) or not np.allclose(u.T @ u, np.eye(rank), atol=1e-5):
        allowed = f"({d.shape[-1]}, R), orthonormal columns"
        raise ConfigError("basis", Shown(f"shape {u.shape}"), allowed)
    within("draws", draws, 1)
    gen, code, out = np.random.default_rng(rng), d @ u, []
    for _ in range(draws):
        turn = haar(rank, gen, (len(d),)) - np.eye(rank)
        out.append(np.asarray(statistic(d + code @ turn @ u.T, on), dtype=float))
    return np.array(out)


def null_summary(observed: ArrayLike, null: ArrayLike) -> Null:
    """`observed` [...] beside the draws `null` [draws, ...] of its null.

    p = (1 + #{null >= observed}) / (1 + draws), one-sided: large is extreme. Negate both for small.
    """
    x, draws = numbers("observed", observed), numbers("null", null)
    if draws.ndim < 1 or draws.shape[1:] != x.shape or len(draws) < 2:
        allowed = f"2 draws or more of shape {x.shape}"
        raise ConfigError("null", Shown(f"shape {draws.shape}"), allowed)
    all_finite("observed", x)
    all_finite("null", draws)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    p = p_value(x, np.moveaxis(draws, 0, -1))
    return Null(x, draws.mean(axis=0), draws.std(axis=0, ddof=1), low, high, p)


def labelled(
    name: str,
    result: Interval | Null,
    dims: tuple[str, ...] = (),
    coords: dict[str, Any] | None = None,
    **attrs: str,
) -> "xr.Dataset":
    """`result` as an xarray Dataset of `name` and `name`_low, _high (and _mean, _sd, _p of a null).

    `dims` names the axes of the fields; `attrs` (units, long_name) go to every variable.
    """
    import xarray as xr

    first, *rest = result._fields
    names = {first: name} | {field: f"{name}_{field}" for field in rest}
    return xr.Dataset(
        {names[f]: (dims, np.asarray(getattr(result, f)), attrs) for f in result._fields}, coords
    )


def _stack(directions: ArrayLike, live: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """`directions` [S, M, D] as finite floats and `live` [S, M] as bool."""
    d, on = numbers("directions", directions), plain("live", live)
    if d.ndim != 3:
        raise ConfigError("directions", Shown(f"shape {d.shape}"), "[S, M, D]")
    if on.shape != d.shape[:2] or on.dtype != bool:
        allowed = f"bool of shape {d.shape[:2]}, as directions has"
        raise ConfigError("live", Shown(f"shape {on.shape}, {on.dtype}"), allowed)
    all_finite("directions", d)
    return d, on
