"""Does stability say that the truth was found? One knob across the identifiability boundary.

Codes along the true axes of a block are generalised-normal: density ~ exp(-|c / alpha|^beta). At
beta = 2 the law is invariant under rotations and p_hat is on the coverage law. Below it the axes
are the sparsest code; above it they are the worst: the loss of rotated frames, computed without
training, says which. The end of training is not all of it: with two blocks of rank 2, k = 4 never
binds and that loss is flat, yet the axes end at cosines of .99, .96 and .82 for beta .5, 1 and 8
(random .90; 3 worlds): the way there seems to take the same side.
"""

import xarray as xr
from synthsae.studies.law_sweep.figure import preferences, stability_by_beta
from synthsae.studies.law_sweep.scores import flatness

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.phrases import COSINE, SHARE, count, extremes, number
from synthsae.plot.worlds import averaged, in_words
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows at rank 4 (or the last one), at its lowest rank, and of the loss."""
    ds = averaged(ds, "beta", "rank")
    r = 4 if 4 in ds["rank"] else ds["rank"].values[-1]
    part, lowest = ds.sel(rank=r), ds.isel(rank=0)
    middle = float(ds.beta.sel(beta=2, method="nearest"))
    betas = list(dict.fromkeys([float(ds.beta[0]), middle, float(ds.beta[-1])]))
    p, truth = (
        ", ".join(in_words(part[name].sel(beta=b), own=own, within=within) for b in betas)
        for name, own, within in (
            ("block_reappearance", False, SHARE),
            ("axis_cosine", True, COSINE),
        )
    )
    law = number(part.coverage_prediction.sel(beta=middle).mean())
    random = number(part.axis_cosine_null.mean())
    stable = lowest.block_reappearance.mean(("world_seed", "seed", "block"))
    side = preferences(ds)
    gain = (ds.axis_cosine - ds.axis_cosine_null).mean(("world_seed", "seed", "block"))
    flat = not (side != 0).any()
    return (
        f"At rank {r} and beta {', '.join(f'{b:g}' for b in betas)}, p_hat is {p} "
        f"(coverage law at {middle:g}: {law}) and the best cosine of the true axes "
        f"{truth} (random {random}){_rise(ds)}. At rank {lowest['rank'].item()} p_hat is "
        f"{extremes(stable)} whatever beta. "
        + (
            "The loss before training is flat in every setting."
            if flat
            else f"In {int((gain * side > 0).sum())} of the "
            f"{count(float((side != 0).sum()), 'setting')} where the loss before training is not "
            "flat, the axes end on the side of random that it prefers."
        )
    )


def _rise(ds: xr.Dataset) -> str:
    """By how much p_hat exceeds that of rotated codes above beta 2 and rank 2; empty if unknown."""
    over = (ds.block_reappearance - ds.coverage_prediction).sel(beta=ds.beta > 2)
    over = over.sel(rank=ds["rank"] > 2)
    if not over.notnull().any():
        return ""
    rise = in_words(over.mean(("beta", "rank")), 3, within=COSINE)
    return f"; above beta 2 and rank 2, p_hat exceeds that of rotated codes by {rise}"


study = Study(
    question="Across the boundary beta = 2, do stability and truth move together?",
    base=Config(
        world=WorldConfig(
            d_model=32, n_isolated=0, n_blocks=3, law="generalised_normal", block_p=0.3
        ),
        sae=SAEConfig(n_latents=40, k=4),
        train=TrainConfig(n_steps=600, batch_size=512, lr=0.01),
        n_seeds=3,
        eval_samples=8192,
    ),
    axes={
        "world.beta": (0.5, 1.0, 1.5, 2.0, 3.0, 8.0),
        "world.rank": (2, 4, 6),
        "world_seed": (0, 1, 2, 3, 4),
    },
    scores=(
        scores.block_stability,
        scores.coverage_law,
        scores.axis_recovery,
        flatness,
        scores.subspace_recovery,
        scores.reconstruction,
    ),
    figure=stability_by_beta,
    finding=finding,
    quick={
        "world.beta": (1.0, 2.0, 8.0),
        "world.rank": (2, 4),
        "world_seed": 0,
        "train.n_steps": 200,
        "eval_samples": 4096,
    },
    needs=(needs.one_law("generalised_normal"),),
)
