"""Subspaces found without the planted truth, and their rank by two estimates."""

from typing import Any

import numpy as np
import xarray as xr

from synthsae.definitions import part
from synthsae.metrics import groups, recovery
from synthsae.metrics.latent_rank import set_rank
from synthsae.rng import numpy_generator
from synthsae.scores.run import Dictionaries, Run, labelled

CLUSTERS = 8
"""Number of clusters that are reported, largest first."""

POOLED = 4096
"""Largest number of latents that are clustered; a random subset of more."""


def cluster_ranks(run: Run | Dictionaries) -> xr.Dataset:
    """Clusters of latents that share a subspace, and their rank by two estimates.

    1. Live latents that are not stable, of all seeds, are clustered (`metrics.groups`). Unstable
       latents alone would not do: by definition, few latents of other seeds are near them.
    2. The span of a cluster is treated as a block. Its members are the live latents of *any* class
       with `Definitions.member` of their energy in it. (Without the stable ones, p_hat would be
       small by selection.)
    3. The rank is the dimension of the span, and 1 over the mean squared cosine of members of
       different seeds (`metrics.latent_rank.set_rank`). With two to four seeds the first is often
       too low; the second is a few percent too high (`synthsae/metrics/README.md`).

    A single cluster with nearly all latents means that cosines do not separate
    clusters here. Values are NaN if there are fewer than `CLUSTERS` clusters.
    """
    defined, half = run.definitions, part(run.definitions.member)
    pool = run.directions[run.live & (run.labels != "stable")]
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
        values[4, g] = set_rank(run.directions, block.members)
    names = {
        "cluster_share": "share of the loose latents that are in the group",
        "cluster_rank": "dimensions of the group",
        "cluster_latents": f"live latents a seed with {half} of their energy in its span",
        "cluster_reappearance": "mean p_hat of these",
        "cluster_moment_rank": "1 over the mean squared cosine of these in different SAEs",
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
