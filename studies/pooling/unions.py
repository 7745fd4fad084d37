"""What the union of other seeds' dictionaries finds, before anything is dropped from it."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae import theory
from synthsae.arrays import Array
from synthsae.metrics import reappearance
from synthsae.metrics.latent import cosines
from synthsae.metrics.pooling import any_drawn, found_in_pools
from synthsae.rng import numpy_generator
from synthsae.scores.kinds import planted_kinds
from synthsae.scores.run import Run, labelled, lawful
from synthsae.stats import rotation_null


def unions(run: Run) -> xr.Dataset:
    """How often a seed's latents are found in the union of `union_size` = 1..S - 1 other seeds.

    The mean over all sets of other seeds, so p_hat at 1. Where the truth is known also of block
    latents beside the coverage law, of isolated features' latents, and the share of isolated
    features that a union has.
    """
    sizes, kinds = range(1, len(run.seeds)), {"": run.live}
    if run.planted:
        block, isolated = planted_kinds(run.world, run.directions, run.definitions)
        kinds |= {"block_": run.live & block, "isolated_": run.live & isolated}
    found = (found_in_pools(run.found, n) for n in sizes)
    share = np.array([[_mean(p, chosen) for chosen in kinds.values()] for p in found])
    out = {
        f"union_{kind}reappearance": (
            ("union_size", "seed"),
            share[:, i],
            f"mean share of unions of other seeds that find a {kind.strip('_') or 'live'} latent",
        )
        for i, kind in enumerate(kinds)
    }
    laws = _laws(run, sizes) | _features(run, sizes) if run.planted else {}
    return labelled(run, **out, **laws).assign_coords(union_size=list(sizes))


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
    if not run.blocks:
        return {}
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


def _features(run: Run, sizes: Sequence[int]) -> dict[str, tuple]:
    """Isolated features that N seeds have, 1 - (1 - q)^N for one that a seed has by chance q."""
    features, same = run.world.isolated, run.definitions.same
    if not len(features):
        return {}
    near = [
        cosines(features, d[live]).max(axis=1, initial=-1) >= same
        for d, live in zip(run.directions, run.live, strict=True)
    ]
    seeds, count = len(near), np.sum(near, axis=0)
    share = [any_drawn(count, seeds, n).mean() for n in sizes]
    text = f"share of isolated features with a latent at cosine >= {same:g} among N seeds"
    return {"union_features_found": (("union_size",), share, text)}


def _mean(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Mean over the last axis of the chosen values, NaN where there are none."""
    n = chosen.sum(axis=-1)
    total = np.where(chosen, values, 0.0).sum(axis=-1)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
