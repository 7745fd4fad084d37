"""Where do latents stop being identifiable while their subspace still is?

Blocks of growing rank under two laws of the code. No rotation changes the first (gaussian). The
second (generalised normal, beta 1: Laplace) has the same gate, the same variance and as many active
directions, and differs in one thing: a block has true axes. `--set world.law=sparse` has as many
sparse features in a block as dimensions, with gates of their own.
"""

import xarray as xr
from synthsae.studies.rank_sweep.figure import stability_by_rank
from synthsae.studies.rank_sweep.scores import implied_rank

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding, rows
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig

INSIDE = ("seed", "seed_a", "seed_b", "block", "angle")


def finding(ds: xr.Dataset) -> Finding:
    """What is left of latents and of their subspace at the largest rank that every law reaches."""
    table = rows(ds, INSIDE, _row)
    reached = table[table.p_hat.notna()].groupby("rank").law.nunique()
    whole = reached[reached == ds.sizes["law"]]
    if whole.empty:
        return Finding("Nothing was found: no block has latents at every law.", table=table)
    last = table[table["rank"] == whole.index.max()]
    free, fixed = last[last["before training"].notna()], last[last["before training"].isna()]
    lawful = table[table["before training"].notna()]
    numbers = {
        "rank": whole.index.max(),
        "free": free.p_hat.mean(),
        "overlap": free.overlap.mean(),
        "fixed": fixed.p_hat.mean(),
        "from the law at most": (lawful.p_hat - lawful["coverage law"]).abs().max(),
        "fixed at least": table[table["before training"].isna()].p_hat.min(),
    }
    text = "At rank {rank:.0f}, "
    if len(free):
        text += (
            "{free:.0%} of block latents reappear in another seed where no direction is preferred, "
            "while their span overlaps the planted subspace by {overlap}"
        )
    text += "; " * (len(free) > 0 and len(fixed) > 0)
    text += "{fixed:.0%} reappear where the block has axes" * (len(fixed) > 0)
    return Finding(f"{text}.", numbers, table)


def _row(one: xr.Dataset) -> dict[str, float]:
    """Means over seeds and blocks of one law and rank."""
    return {
        "p_hat": one.block_reappearance.mean().item(),
        "coverage law": one.coverage_prediction.mean().item(),
        "before training": one.coverage_a_priori.mean().item(),
        "overlap": one.subspace_overlap.mean().item(),
    }


study = Study(
    question="Where do latents stop being identifiable while their subspace still is?",
    base=Config(train=TrainConfig(n_steps=400, batch_size=1024, lr=0.01)),
    axes={
        "world.law": ("gaussian", "generalised_normal"),
        "world.rank": (1, 2, 3, 4, 6, 8, 12, 16),
    },
    scores=(
        scores.block_stability,
        scores.coverage_law,
        implied_rank,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.reconstruction,
    ),
    figure=stability_by_rank,
    finding=finding,
    quick={
        "world.rank": (1, 4, 16),
        "n_seeds": 4,
        "train.n_steps": 100,
        "eval_samples": 8192,
    },
    needs=(needs.blocks,),
)
