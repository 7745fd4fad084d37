"""From several seeds, what is reproducible: which latents, and which subspaces?

Two lists (`synthsae.consensus`): latents that are the same in every seed more tightly than freely
turned codes would be, and subspaces that the seeds' other latents share. Both are tried on disjoint
sets of 2 to 16 seeds of one training, at several levels, over the rank of the blocks, how often
these fire, and isolated features that fire at rates from 10% down to 0.1%.
"""

import pandas as pd
import xarray as xr
from synthsae.studies.consensus.counts import LEVEL, recall_interval, share_wrong, totals
from synthsae.studies.consensus.figure import errors_by_setting, lists_by_seeds
from synthsae.studies.consensus.scores import consensus_lists, lists_against_truth

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """Errors of both lists at a level of 95%, and what the longest ones hold."""
    at = ds.sel(level=LEVEL)
    if "identities_wrong" not in ds:
        last = totals(at.isel(n_used=-1))
        return Finding(
            "From {n:.0f} seeds, {latents:.0f} of the latents are identifiable and {subspaces:.0f} "
            "of the subspaces reproducible (95% lists).",
            {
                "n": ds.n_used.values[-1],
                "latents": float(last.identities_listed / last.seed_sets),
                "subspaces": float(last.subspaces_listed / last.seed_sets),
            },
        )
    table = pd.DataFrame([_row(at.sel(n_used=[n])) for n in ds.n_used.values])
    return Finding(
        "Of the identities listed at 95%, {identities:.2%} are wrong, of the subspaces "
        "{subspaces:.2%}. From {n:.0f} seeds the list holds {recall:.0%} of the isolated features.",
        {
            "identities": float(share_wrong(at, "identities").estimate),
            "subspaces": float(share_wrong(at, "subspaces").estimate),
            "n": ds.n_used.values[-1],
            "recall": table["features listed"].iloc[-1],
        },
        table,
    )


def _row(at: xr.Dataset) -> dict[str, float | str]:
    """One number of seeds: both lists, their errors and what they hold."""
    row: dict[str, float | str] = {"seeds": int(at.n_used[0])}
    for kind, name, planted in (
        ("identities", "feature", "features listed"),
        ("subspaces", "block", "blocks listed"),
    ):
        wrong = share_wrong(at, kind)
        row |= {
            kind: int(at[f"{kind}_listed"].sum()),
            f"wrong {kind}": int(at[f"{kind}_wrong"].sum()),
            "at most": float(wrong.high),
            planted: float(recall_interval(at, name).estimate[0]),
        }
        row[f"{kind} wrong, at most"] = row.pop("at most")
    return row


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
    supplement=errors_by_setting,
    finding=finding,
    quick={
        "world.rank": (2, 4),
        "world.block_p": (0.15,),
        "world_seed": (0,),
        "n_seeds": 4,
        "train.n_steps": 200,
    },
)
