"""Two seeds differ in where they start and in what they see: which one moves a block's basis?

The start of an SAE and its data are drawn from streams of their own, so each can be shared by all
seeds while the other differs. Sharing both gives the same SAE, p_hat 1. Where nothing in the data
prefers a rotation, a shared start breaks the tie: latents keep the direction inside the block in
which they happened to lean at step 0, so seeds that share it agree far above the coverage law, and
most when they are trained least. Shared data move p_hat far less, here by .02 to .04 from 160 steps
on and in `excess` by a hundredth: data hardly choose the basis, they let it drift from its start.
Longer training forgets that: at 2,560 steps (world 0, 655,360 samples) seeds that share it are at
.807 (law .749, rank 4) and .328 (law .287, rank 8).
"""

import numpy as np
import xarray as xr
from synthsae.studies.seed_sources.figure import (
    cosine_by_source,
    law,
    over_worlds,
    stability_by_source,
)
from synthsae.studies.seed_sources.scores import cosine_with_start

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding, rows
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

INSIDE = ("init", "data", "seed", "seed_a", "seed_b", "block", "angle")
NAMES = {
    ("shared", "shared"): "all shared",
    ("shared", "independent"): "start shared",
    ("independent", "shared"): "data shared",
    ("independent", "independent"): "nothing shared",
}


def finding(ds: xr.Dataset) -> Finding:
    """What seeds that share their start, or their data, agree on at the largest budget."""
    table = rows(over_worlds(ds).sortby("n_steps").isel(n_steps=-1), INSIDE, _row)
    last = table.iloc[-1]
    where = f"at rank {last['rank']:g} " if "rank" in last else ""
    numbers = {name: last.get(name, np.nan) for name in NAMES.values()}
    return Finding(
        f"p_hat of block latents {where}is {{start shared}} where seeds share their start, "
        "{data shared} where they share their data and {nothing shared} where they share nothing; "
        "the coverage law says {law}.",
        numbers | {"law": last["coverage law"]},
        table,
    )


def _row(part: xr.Dataset) -> dict[str, float]:
    """One rank at the largest budget."""
    found = {
        name: part.sel(init=init, data=data).block_reappearance.mean().item()
        for (init, data), name in NAMES.items()
        if init in part["init"] and data in part["data"]
    }
    return found | {
        "coverage law": law(part).item(),
        "cosine with the start": part.start_memory.mean().item(),
        "samples": part.training_samples.mean().item(),
    }


study = Study(
    question="Start or data: which of the two moves the basis inside a block?",
    base=Config(
        world=WorldConfig(d_model=48, n_isolated=24, n_blocks=3),
        train=TrainConfig(batch_size=256, lr=0.01),
        eval_samples=4096,
    ),
    axes={
        "world_seed": (0, 1, 2),
        "world.rank": (4, 8),
        "train.n_steps": (40, 160, 640),
        "train.init": ("independent", "shared"),
        "train.data": ("independent", "shared"),
    },
    scores=(
        scores.training_budget,
        scores.block_stability,
        scores.coverage_law,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        cosine_with_start,
        scores.reconstruction,
    ),
    figure=stability_by_source,
    supplement=cosine_by_source,
    finding=finding,
    quick={"world_seed": 0, "n_seeds": 4, "train.n_steps": (40, 120)},
    needs=(needs.blocks,),
)
