"""Where p_hat leaves the coverage law, which of its conditions is to blame? Each suspect alone.

The law (`theory.coverage`) supposes a block that nothing breaks, independent starts, independent
data or much of it, and training that no axis attracts. Here one condition at a time is broken:
isolated features lean into the blocks, seeds share their batches (many or few), seeds share their
start, samples are few. Adam's preference for coordinate axes needs a block that lies along them,
and d_model = rank with one block and no isolated feature has one: `--set world.d_model=8,32
--set world.n_blocks=1 --set world.n_isolated=0 --set sae.n_latents=20` finds -.02 and +.02 (1 sd
is .02; clean baseline, 8 worlds), so no preference of that size.
"""

import numpy as np
import pandas as pd
import xarray as xr
from synthsae.studies.excess.figure import (
    conditions,
    excess,
    excess_by_suspect,
    haar_sd,
    laws_by_suspect,
    over_worlds,
)

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """Which broken condition moves p_hat furthest from the coverage law."""
    table = pd.DataFrame([_row(label, part) for label, part in conditions(ds)])
    known = table[table["in sd"].notna()]
    if known.empty:
        return Finding("No condition has an excess that is known.", table=table)
    far = known.loc[known.excess.abs().idxmax()]
    return Finding(
        "p_hat is furthest from the coverage law with: {condition}, by {excess:+.3f}. "
        "{beyond:.0f} of {of:.0f} conditions move it by more than 3 Haar standard deviations.",
        {
            "condition": far.condition,
            "excess": far.excess,
            "beyond": (known["in sd"].abs() > 3).sum(),
            "of": len(known),
        },
        table,
    )


def _row(condition: str, part: xr.Dataset) -> dict[str, object]:
    """One condition: its mean excess with its interval over worlds, and in Haar sd."""
    score, sd = over_worlds(excess(part)), haar_sd(part)
    mean, low, high = (float(value) for value in score)
    in_sd = mean / sd if sd > 0 else np.nan
    return {"condition": condition, "excess": mean, "low": low, "high": high, "in sd": in_sd}


study = Study(
    question="Where p_hat leaves the coverage law, which condition is broken?",
    base=Config(
        world=WorldConfig(d_model=32, n_isolated=8, n_blocks=3, rank=8),
        sae=SAEConfig(n_latents=64),
        train=TrainConfig(batch_size=512, lr=0.01),
        n_seeds=4,
        eval_samples=8192,
    ),
    axes={
        "train.n_steps": (80, 400),
        "world.leaning": (False, True),
        "train.data": ("independent", "shared"),
        "train.init": ("independent", "shared"),
        "world_seed": tuple(range(8)),
    },
    scores=(
        scores.block_stability,
        scores.coverage_law,
        scores.seed_agreement,
        scores.subspace_recovery,
        scores.reconstruction,
    ),
    figure=excess_by_suspect,
    supplement=laws_by_suspect,
    finding=finding,
    quick={"world_seed": (0,), "train.n_steps": (30, 150), "n_seeds": 3},
    needs=(needs.blocks,),
)
