"""From several seeds, what is reproducible: which latents, and which subspaces?

Two lists (`synthsae.consensus`): latents that are the same in every seed more tightly than freely
turned codes would be, and subspaces that the seeds' other latents share. Both are tried on disjoint
sets of 2 to 16 seeds of one training, at several levels, over the rank of the blocks, how often
these fire, and isolated features that fire at rates from 10% down to 0.1%.
"""

import numpy as np
import xarray as xr
from synthsae.studies.consensus.figure import (
    LEVEL,
    lists_by_seeds,
    recall_interval,
    share_wrong,
    totals,
    worst,
)
from synthsae.studies.consensus.scores import consensus_lists, lists_against_truth

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.phrases import count, interval
from synthsae.sae import SAEConfig
from synthsae.stats import Interval
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """Recall and errors of both lists at a level of 95%, with intervals."""
    at = ds.sel(level=LEVEL)
    if "identities_wrong" not in ds:
        last = totals(at.isel(n_used=-1))
        last = last / last.seed_sets
        many = ds.n_used.values[-1]
        latents, subspaces = (
            count(last[f"{kind}_listed"], noun)
            for kind, noun in (("identities", "latent"), ("subspaces", "subspace"))
        )
        verb = "is" if latents == "1 latent" else "are"
        return (
            f"From {many} seeds, {latents} {verb} identifiable and {subspaces} reproducible "
            "(95% lists)."
        )
    said = []
    for kind, name, truth in (
        ("identities", "feature", "isolated features"),
        ("subspaces", "block", "blocks of rank 2 or more"),
    ):
        wrong = share_wrong(at, kind)
        held = recall_interval(at, name)
        found = ", ".join(
            f"{interval(Interval(*ends))} from {n}"
            for *ends, n in zip(*held, ds.n_used.values, strict=True)
            if np.isfinite(ends[0])
        )
        at_worst = worst(at, kind)
        most = (
            f" (at worst {at_worst.wrong} of {at_worst.listed}, from {at_worst.setting})"
            if at_worst and at_worst.wrong
            else ""
        )
        errors = f"of the {kind} listed at 95% {interval(wrong, '.2%')} are wrong{most}"
        said.append(
            (errors if np.isfinite(wrong.estimate) else f"no {kind} are listed at 95%")
            + (f", and the share of {truth} that they hold is {found} seeds" if found else "")
        )
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


study = Study(
    question="From several seeds, which latents and which subspaces are reproducible?",
    base=Config(
        world=WorldConfig(
            d_model=64, n_isolated=24, zipf=1.0, isolated_p_max=0.1, isolated_p_min=0.001
        ),
        sae=SAEConfig(k=4),
        train=TrainConfig(n_steps=400, batch_size=512, lr=0.01),
        n_seeds=16,
        eval_samples=16384,
    ),
    axes={
        "world.rank": (2, 3, 4, 8),
        "world.block_p": (0.03, 0.15),
        "world_seed": (0, 1, 2),
    },
    scores=(consensus_lists, lists_against_truth, scores.reconstruction),
    figure=lists_by_seeds,
    finding=finding,
    quick={
        "world.rank": (2, 4),
        "world.block_p": (0.15,),
        "world_seed": (0,),
        "n_seeds": 4,
        "train.n_steps": 200,
    },
)
