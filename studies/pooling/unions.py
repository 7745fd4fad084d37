"""What the union of other seeds' dictionaries finds, before anything is dropped from it."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae import theory
from synthsae.arrays import Array, Mask
from synthsae.metrics import reappearance
from synthsae.metrics.latent import cosines
from synthsae.metrics.pooling import any_drawn, found_in_pools
from synthsae.rng import numpy_generator
from synthsae.scores.kinds import planted_kinds
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled, lawful
from synthsae.stats import rotation_null


def unions(run: Run) -> xr.Dataset:
    """How often a seed's live latents are found in the union of `union_size` = 1..S - 1 other
    seeds: the mean over all sets of other seeds, so p_hat at 1.
    """
    return _over_sizes(run, union_reappearance=_reappearance(run, run.live, "live"))


@requires("blocks", "separate blocks")
def unions_of_blocks(run: Run) -> xr.Dataset:
    """`unions` for block latents, beside the coverage law."""
    block, _ = planted_kinds(run.world, run.directions, run.definitions)
    found = _reappearance(run, run.live & block, "block")
    return _over_sizes(run, union_block_reappearance=found, **_laws(run, _sizes(run)))


@requires("isolated features")
def unions_of_features(run: Run) -> xr.Dataset:
    """`unions` for latents of isolated features, and the share of these features in N seeds.

    A feature that a seed has by chance q is in N seeds by 1 - (1 - q)^N.
    """
    _, isolated = planted_kinds(run.world, run.directions, run.definitions)
    return _over_sizes(
        run,
        union_isolated_reappearance=_reappearance(run, run.live & isolated, "isolated"),
        union_features_found=_features(run, _sizes(run)),
    )


def _sizes(run: Run) -> range:
    """Numbers of other seeds in a union."""
    return range(1, len(run.seeds))


def _over_sizes(run: Run, **variables: tuple) -> xr.Dataset:
    return labelled(run, **variables).assign_coords(union_size=list(_sizes(run)))


def _reappearance(run: Run, chosen: Mask, name: str) -> tuple:
    """Share of the unions that find a chosen latent [S, M], mean over these: [union_size, seed]."""
    share = [_mean(found_in_pools(run.found, n), chosen) for n in _sizes(run)]
    text = f"mean share of unions of other seeds that find a {name} latent"
    return ("union_size", "seed"), np.array(share), text


def turned(run: Run, directions: Array, rng: np.random.Generator) -> Array:
    """`directions` [S, M, D] with each of the S codes Haar-rotated inside each block of `run`."""
    live = np.ones(directions.shape[:2], dtype=bool)
    for basis in run.bases:
        directions = rotation_null(lambda d, _: d, directions, live, basis, draws=1, rng=rng)[0]
    return directions


def _laws(run: Run, sizes: Sequence[int], draws: int = 4) -> dict[str, tuple]:
    """Block latents found by unions of rotated codes, and of m A_R before training.

    Latents differ in their energy inside the block, so the mean over them is below 1 - (1 - c)^N of
    their mean coverage c: codes are turned, and the measurement is done again.
    """
    world, theta = run.config.world, run.definitions.theta
    rng = numpy_generator("null", run.config.world_seed, len(run.blocks))
    block = np.any([b.members for b in run.blocks], axis=0)
    shares = []
    for _ in range(draws):
        hits = reappearance.found(turned(run, run.directions, rng), theta, run.live)
        shares.append([_mean(found_in_pools(hits, n), block) for n in sizes])
    left = run.config.sae.for_width(run.d_model).size - world.n_isolated
    prior = theory.coverage_a_priori(world.rank, max(0, left) / world.n_blocks, theta)
    before = theory.pooled_reappearance(prior, sizes)
    return {
        "union_block_law": (
            ("union_size", "seed"),
            np.mean(shares, axis=0),
            "union_block_reappearance with each seed's code Haar-rotated inside each block",
        ),
        "union_block_a_priori": (
            ("union_size",),
            before if lawful(run.config) else np.full(len(sizes), np.nan),
            "1 - (1 - c)^N with c = min(1, m A_R), assuming m = min(2R, latents left)",
        ),
    }


def _features(run: Run, sizes: Sequence[int]) -> tuple:
    """Share of the isolated features that N seeds have, [union_size]."""
    features, same = run.world.isolated, run.definitions.same
    near = [
        cosines(features, d[live]).max(axis=1, initial=-1) >= same
        for d, live in zip(run.directions, run.live, strict=True)
    ]
    seeds, count = len(near), np.sum(near, axis=0)
    share = [any_drawn(count, seeds, n).mean() for n in sizes]
    text = f"share of isolated features with a latent at cosine >= {same:g} among N seeds"
    return ("union_size",), share, text


def _mean(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Mean over the last axis of the chosen values, NaN where there are none."""
    n = chosen.sum(axis=-1)
    total = np.where(chosen, values, 0.0).sum(axis=-1)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
