"""Kinds of live latents: along an isolated feature, in a block, or neither (surplus)."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae.arrays import Array, Mask
from synthsae.definitions import Definitions, shown
from synthsae.metrics.subspace import block_energy, members
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.world import World


def planted_kinds(world: World, directions: Array, defined: Definitions) -> tuple[Mask, Mask]:
    """Which unit `directions` [..., D] belong to a block, and which to an isolated feature.

    Returns:
        Two masks [...]. Block: a share `Definitions.member` or more of the energy is in one block.
        Isolated feature: not in a block, and a cosine of `Definitions.theta` or more to a feature.
    """
    none = np.zeros(directions.shape[:-1], dtype=bool)
    block = np.any(
        [none, *(members(directions, basis, None, defined.member) for basis in world.bases)], axis=0
    )
    cosine = np.max(directions @ world.isolated.T, axis=-1, initial=-1.0)
    return block, ~block & (cosine >= defined.theta)


@requires("planted")
def latent_kinds(run: Run) -> xr.Dataset:
    """Number of live latents of blocks, of isolated features (`planted_kinds`) and of neither.

    Latents of neither are *surplus*. `feature_splitting` is the number of latents for each isolated
    feature; more than one means that features are split.
    """
    kinds_of = planted_kinds(run.world, run.directions, run.definitions)
    block, feature = (run.live & kind for kind in kinds_of)
    surplus = run.live & ~block & ~feature
    kinds = {"block": block, "feature": feature, "surplus": surplus}
    counts = {
        f"{name}_latents": (("seed",), kind.sum(axis=1), f"live latents: {name}", "latents")
        for name, kind in kinds.items()
    }
    energy = [
        _mean(block_energy(run.directions, basis), b.members)
        for b, basis in zip(run.blocks, run.bases, strict=True)
    ]
    theta = shown(run.definitions.theta)
    return labelled(
        run,
        **counts,
        dead_latents=(("seed",), (~run.live).sum(axis=1), "latents that are not live", "latents"),
        feature_splitting=(
            ("seed",),
            feature.sum(axis=1) / max(1, run.config.world.n_isolated),
            f"latents with a cosine of {theta} or more to it, per isolated feature",
            "latents",
        ),
        member_energy=(
            ("seed", "block"),
            np.array(energy).reshape(len(run.blocks), len(run.seeds)).T,
            "mean share of the energy of a block's latents that is inside it",
        ),
        surplus_reappearance=(
            ("seed",),
            _mean(run.p_hat, surplus),
            "mean p_hat of live latents that are neither a block's nor a feature's",
        ),
    )


def _mean(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Mean of the chosen values of each seed, NaN where there are none: [S, M] -> [S]."""
    n = chosen.sum(axis=1)
    total = np.where(chosen, values, 0.0).sum(axis=1)
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
