"""Reappearance: does a latent have a counterpart in other seeds? In blocks, on any device.

This metric has to run on whole dictionaries of every pair of seeds. Its kernel therefore takes
NumPy arrays or tensors of any array-API library (torch on a GPU, say), and holds only a block of a
cosine matrix at a time. It needs no one-to-one assignment.
"""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj, to_device
from numpy.typing import ArrayLike, NDArray

from synthsae import checks, progress
from synthsae.arrays import Array, Mask
from synthsae.checks import ConfigError, Shown, numbers, plain
from synthsae.definitions import DEFAULTS

THETA = DEFAULTS.theta
STABLE, UNSTABLE = DEFAULTS.stable, DEFAULTS.unstable
BLOCK = 256  # rows of a cosine matrix in memory at a time: 16 MB of 16,384 latents fit a cache
ROUNDING = 1e-12  # so that a copy is found at theta = 1, and 19 seeds of 20 are a p_hat of .95


class Nearest(NamedTuple):
    """What the largest cosines between latents of different seeds say.

    Attributes:
        found: does a live latent of seed t match latent i of seed s, NumPy bool [S, S, M].
        mmcs: mean over the live latents of seed s of the largest cosine to those of seed t, [S, S];
            NaN on the diagonal and where seed s or t has no live latent.
    """

    found: Mask
    mmcs: Array


def nearest(
    directions: Any,
    theta: float = THETA,
    live: ArrayLike | None = None,
    block: int = BLOCK,
    absolute: bool = False,
) -> Nearest:
    """Which latents are found in which seed, and how near the nearest ones are.

    A match is a signed cosine >= theta, or |cosine| >= theta if `absolute`; many-to-one. A dead
    latent neither matches nor is matched. A live latent is found in its own seed. Rows of zeros
    have cosine 0.

    Products are float32, one for both directions of a pair of seeds, in blocks. A score so near
    theta that float32 rounding could decide is computed again in float64, so `found` is that of
    float64; `mmcs` is right to 1e-6. Beyond the input, about 28 M D + 8 `block` M bytes are needed,
    for any S, and the result. Progress is shown on stderr. A pair of seeds depends on no other: to
    keep what is done of a computation of hours, call it with `directions[[s, t]]`.

    Args:
        directions: decoder directions of any length, [S, M, D], S >= 2; NumPy (of a file in memory,
            too: `np.load(path, mmap_mode="r")`), or an array-API array on a device that has
            float64.
        theta: least cosine of a match, in [-1, 1].
        live: which latents are live, bool [S, M]; None stands for all.
        block: rows of a cosine matrix in memory at a time.
        absolute: for codes of either sign.

    Raises:
        ConfigError: also if products on the device are less precise than float32 (TF32).
    """
    xp, d = _seeds(directions)
    alive = checks.mask("live", live, tuple(d.shape[:2]))
    theta = checks.between("theta", theta, -1, 1) - ROUNDING
    block = checks.count("block", block)
    rows = [np.flatnonzero(a) for a in alive]
    out = np.zeros((len(alive), *alive.shape), dtype=bool)
    mmcs = np.full(out.shape[:2], np.nan)
    with progress.bar("nearest latents", len(rows) * (len(rows) - 1) / 2, "pairs of SAEs") as count:
        for s, here in enumerate(rows):
            out[s, s] = alive[s]
            x = _unit(xp, d, s, here)
            x32 = xp.astype(x, xp.float32)
            for t, there in enumerate(rows[:s]):
                if len(here) and len(there):
                    y = _unit(xp, d, t, there)
                    best, back = _largest(xp, x32, xp.astype(y, xp.float32), block, absolute)
                    mmcs[s, t], mmcs[t, s] = _mean(best), _mean(back)
                    out[s, t, here] = _reaches(xp, best, x, y, theta, block, absolute)
                    out[t, s, there] = _reaches(xp, back, y, x, theta, block, absolute)
                count(1)
    return Nearest(out, mmcs)


def found(
    directions: Any,
    theta: float = THETA,
    live: ArrayLike | None = None,
    block: int = BLOCK,
    absolute: bool = False,
) -> Mask:
    """found[s, t, i]: does a live latent of seed t match latent i of seed s, NumPy bool [S, S, M].

    Arguments as `nearest`.
    """
    return nearest(directions, theta, live, block, absolute).found


def reappearance(
    directions: Any, theta: float = THETA, live: ArrayLike | None = None, block: int = BLOCK
) -> Array:
    """p_hat: share of the other seeds in which a latent is `found`, [S, M]; NaN for dead latents.

    Signed, many-to-one (Gerasimov et al., arXiv 2606.12138). Arguments as `found`.
    """
    return share_of_others(found(directions, theta, live, block))


def share_of_others(hits: ArrayLike) -> Array:
    """p_hat of `hits`, the result of `found`, bool [S, S, M]: [S, M].

    NaN for latents that are not found in their own seed, which are dead.
    """
    h = seed_pairs("hits", hits)
    alive = np.diagonal(h).T
    return np.where(alive, (h.sum(axis=1) - alive) / (len(h) - 1), np.nan)


def seed_pairs(name: str, value: ArrayLike) -> Mask:
    """`value` as bool [S, S, M] of two seeds or more; raises ConfigError otherwise."""
    x = plain(name, value)
    checks.of_shape(name, x, "[S, S, M]")
    checks.several_seeds(name, x.shape)
    return checks.mask(name, x, x.shape)


def labels(
    p_hat: ArrayLike, stable: float = STABLE, unstable: float = UNSTABLE
) -> NDArray[np.str_]:
    """Class of each latent: "stable", "unstable", "middle" or "dead", of the shape of `p_hat`.

    Args:
        p_hat: from `reappearance`; NaN for dead latents.
        stable: least p_hat of a stable latent.
        unstable: largest p_hat of an unstable latent, below `stable`.
    """
    p = numbers("p_hat", p_hat)
    known = p[~np.isnan(p)]
    if known.size and not 0 <= known.min() <= known.max() <= 1:
        raise ConfigError(
            "p_hat", Shown(f"{known.min():g} to {known.max():g}"), "0 to 1, NaN if dead"
        )
    stable = checks.between("stable", stable, 0, 1)
    unstable = checks.between("unstable", unstable, 0, 1)
    if not unstable < stable:
        raise ConfigError("unstable", Shown(f"{unstable}"), f"below stable, {stable:g}")
    cases = [np.isnan(p), p >= stable - ROUNDING, p <= unstable + ROUNDING]
    return np.select(cases, ["dead", "stable", "unstable"], default="middle")


def _seeds(directions: Any) -> tuple[Any, Any]:
    """Directions of two seeds or more as a finite array [S, M, D], after its array namespace."""
    array = is_array_api_obj(directions) and not isinstance(directions, np.ma.MaskedArray)
    d = directions if array else numbers("directions", directions)
    d = d.detach() if hasattr(d, "detach") else d  # no autograd graph of whole cosine matrices
    xp = array_namespace(d)
    if len(d.shape) != 3 or not xp.isdtype(d.dtype, ("real floating", "integral")):
        raise ConfigError(
            "directions", Shown(f"{d.dtype} of shape {tuple(d.shape)}"), "real numbers [S, M, D]"
        )
    checks.several_seeds("directions", tuple(d.shape))
    for s in range(d.shape[0]):
        if not bool(xp.all(xp.isfinite(d[s, ...]))):
            raise ConfigError("directions", Shown(f"non-finite values in seed {s}"), "finite")
    return xp, d


def _unit(xp: Any, d: Any, seed: int, rows: NDArray[np.intp]) -> Any:
    """The `rows` of one seed scaled to norm 1 in float64, [n, D]; rows of zeros stay zero."""
    x = xp.take(d[seed, ...], xp.asarray(rows, device=device(d)), axis=0)
    x = xp.astype(x, xp.float64)
    norm = xp.linalg.vector_norm(x, axis=-1, keepdims=True)
    return x / xp.where(norm == 0, xp.ones_like(norm), norm)


def _largest(xp: Any, x: Any, y: Any, block: int, absolute: bool) -> tuple[Any, Any]:
    """Largest cosine of each row of x [m, D] among y [n, D], and of each row of y: [m], [n]."""
    best, best_back = [], None
    for start in range(0, x.shape[0], block):
        c = x[start : start + block, :] @ y.T
        if best_back is None:
            _precise(xp, c[:, :1], x[:block, :], y[:1, :])
        c = xp.abs(c) if absolute else c
        best.append(xp.max(c, axis=1))
        column = xp.max(c, axis=0)
        best_back = column if best_back is None else xp.maximum(best_back, column)
    return xp.concat(best), best_back


def _reaches(xp: Any, best: Any, x: Any, y: Any, theta: float, block: int, absolute: bool) -> Mask:
    """Is the largest cosine of each row of x among y >= theta? Near theta in float64. Bool [m]."""
    score = _host(best).astype(np.float64)
    (near,) = np.nonzero(np.abs(score - theta) <= margin(x.shape[1]))
    for start in range(0, len(near), block):
        some = near[start : start + block]
        c = xp.take(x, xp.asarray(some, device=device(x)), axis=0) @ y.T
        score[some] = _host(xp.max(xp.abs(c) if absolute else c, axis=1))
    return score >= theta


def _mean(best: Any) -> float:
    """Mean of largest cosines, which rounding may put above 1."""
    return float(np.clip(_host(best), -1, 1).mean(dtype=np.float64))


def margin(d: int) -> float:
    """Bound on |float32 - exact| of a product of unit rows in R^d (Higham 2002, section 3.1)."""
    return (d + 4) * 2.0**-24


def _precise(xp: Any, got: Any, x: Any, y: Any) -> None:
    """Raise ConfigError if products on the device have larger errors than float32 allows."""
    exact = xp.astype(x, xp.float64) @ xp.astype(y, xp.float64).T
    error = float(xp.max(xp.abs(exact - xp.astype(got, xp.float64))))
    if error > margin(x.shape[1]):
        raise ConfigError(
            "directions",
            Shown(f"products on {device(x)} are off by {error:.1e}"),
            f"float32's {margin(x.shape[1]):.1e} (switch TF32 off)",
        )


def _host(x: Any) -> NDArray[Any]:
    """`x` copied to the CPU, as a NumPy array."""
    return np.asarray(to_device(x, "cpu"))
