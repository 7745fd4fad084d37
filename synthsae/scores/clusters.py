"""Subspaces found without the truth, and the rank that the coverage law implies for each."""

from typing import Any

import numpy as np
import xarray as xr

from synthsae import theory
from synthsae.definitions import part
from synthsae.metrics import groups, recovery
from synthsae.rng import numpy_generator
from synthsae.scores.run import Dictionaries, Run, labelled

CLUSTERS = 8
"""Clusters that are reported, the largest."""

POOLED = 4096
"""Loose latents that are clustered at most; drawn from more."""


def cluster_ranks(run: Run | Dictionaries) -> xr.Dataset:
    """Groups of loose latents, pooled over seeds, that share a subspace (`metrics.groups`).

    Loose: not stable; unstable ones alone are by choice too far apart to be joined. A
    group's span is then treated as a block: the live latents of *any* stability with half of their
    energy in it are its members, since p_hat of loose ones alone is small by choice. Their mean
    p_hat and their number a seed imply a rank by the coverage law, which is right where nothing
    prefers a direction inside the group and it holds no stable latent by accident. NaN beyond the
    groups there are. A single group that holds nearly everything says that cosines do not separate
    groups here. With absolute cosines a latent covers two caps, as two latents do.
    """
    defined, half = run.definitions, part(run.definitions.member)
    loose = run.live & (run.labels != "stable")
    pool = run.directions[loose]
    if len(pool) > POOLED:
        rng = numpy_generator("null", 0)
        pool = pool[rng.choice(len(pool), POOLED, replace=False)]
    found = groups.groups(pool, least=len(run.seeds))
    values = np.full((5, CLUSTERS), np.nan)
    for g, group in enumerate(found[:CLUSTERS]):
        block = recovery.block_recovery(
            run.directions, group.span, run.live, run.p_hat, defined.member
        )
        p, m = run.p_hat[block.members].mean(), block.latents.mean()
        values[:4, g] = len(group.rows) / len(pool), group.rank, m, p
        values[4, g] = theory.implied_rank(p, 2 * m if run.absolute else m, defined.theta).rank
    names = {
        "cluster_share": "share of the loose latents that are in the group",
        "cluster_rank": "dimensions of the group",
        "cluster_latents": f"live latents a seed with {half} of their energy in its span",
        "cluster_reappearance": "mean p_hat of these",
        "cluster_implied_rank": "rank at which min(1, m A_R) is that mean",
    }
    units = {"cluster_latents": "latents"}
    variables: dict[str, tuple[Any, ...]] = {
        name: (("cluster",), row, text, units.get(name, "1"))
        for (name, text), row in zip(names.items(), values, strict=True)
    }
    variables["clusters"] = (
        (),
        len(found),
        f"groups found; the {CLUSTERS} largest are kept",
        "groups",
    )
    return labelled(run, **variables)
