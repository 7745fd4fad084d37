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
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows, over the ranks at which every law has latents in its blocks."""
    dims = [d for d in ds.block_reappearance.dims if d not in ("law", "rank")]
    p, rotated = ds.block_reappearance.mean(dims), ds.coverage_prediction.mean(dims)
    overlap = ds.subspace_overlap.mean(dims)
    kept = p.notnull().all("law")
    if not kept.any():
        return "Nothing was found: no block has latents at every law."
    p, rotated, overlap = (v.isel(rank=kept.values) for v in (p, rotated, overlap))
    low, high = p["rank"].values[[0, -1]]
    clauses = []
    for law in ds.law.values:
        first, last = (float(p.sel(law=law, rank=r)) for r in (low, high))
        gap, least = float(abs(p - rotated).sel(law=law).max()), float(overlap.sel(law=law).min())
        predicted = bool(ds.coverage_a_priori.sel(law=law).notnull().any())
        clauses.append(
            f"under the {law} law {first:.0%} of block latents reappear in another seed at rank "
            + (f"{low} and {last:.0%} at rank {high}" if high > low else f"{low}")
            + (f", at most {gap:.3f} from the coverage law" if predicted and gap == gap else "")
            + (
                f", while their span overlaps the planted subspace by {least:.3f} or more on "
                "average"
            )
            * (least == least)
        )
    text = "; ".join(clauses)
    missing = "" if kept.all() else f" ({int((~kept).sum())} of {kept.size} ranks left out)"
    return f"{text[0].upper()}{text[1:]}{missing}."


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
