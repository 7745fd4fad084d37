"""Where do latents stop being identifiable while their subspace still is?

Blocks of growing rank, under a law that no rotation changes (isotropic) and under one with as many
true features in the block as it has dimensions (sparse). Everything else stays the same.
"""

import xarray as xr

from synthsae import measures
from synthsae.config import Config
from synthsae.figures import stability_by_rank
from synthsae.results import INVARIANT_LAWS
from synthsae.study import Study
from synthsae.train import TrainConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows."""
    dims = [d for d in ds.block_reappearance.dims if d not in ("law", "rank")]
    p, rotated = ds.block_reappearance.mean(dims), ds.coverage_prediction.mean(dims)
    overlap = ds.subspace_overlap.mean(dims)
    low, high = ds["rank"].values[[0, -1]]
    clauses = []
    for law in ds.law.values:
        first, last = (float(p.sel(law=law, rank=r)) for r in (low, high))
        gap, least = float(abs(p - rotated).sel(law=law).max()), float(overlap.sel(law=law).min())
        agrees = law in INVARIANT_LAWS
        clauses.append(
            f"under the {law} law {first:.0%} of block latents reappear in another seed at rank "
            f"{low} and {last:.0%} at rank {high}"
            + (f", at most {gap:.3f} from the coverage law at any rank" if agrees else "")
            + f", while their span overlaps the planted subspace by {least:.3f} or more"
        )
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


study = Study(
    question="Where do latents stop being identifiable while their subspace still is?",
    base=Config(train=TrainConfig(n_steps=400, batch_size=1024, lr=0.01)),
    axes={
        "world.law": ("isotropic", "sparse"),
        "world.rank": (1, 2, 3, 4, 6, 8, 12, 16),
    },
    measures=(
        measures.block_stability,
        measures.coverage_law,
        measures.implied_rank,
        measures.subspace_recovery,
        measures.feature_recovery,
        measures.seed_agreement,
        measures.reconstruction,
    ),
    figure=stability_by_rank,
    finding=finding,
    quick={
        "world.rank": (1, 4, 8, 16),
        "n_seeds": 4,
        "train.n_steps": 150,
        "eval_samples": 8192,
    },
)
