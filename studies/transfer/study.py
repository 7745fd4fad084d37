"""Do latents that no other seed finds live in the same subspace in every seed, and what tells them?

Gerasimov et al. (2606.12138) find that the top singular subspace of one seed's unstable latents
holds those of another, that they fill fewer dimensions than stable ones, and that a linear
classifier of decoder directions tells them apart (F1 .67 to .73). Here the same isolated features
stand beside no, two and four blocks of rank 12. The prediction fits nothing: unstable latents fill
the G R planted dimensions evenly, and no others. Noise gives surplus latents something to live on;
they are unstable and in no block, the control. On a preset, or a model (one value, as the axis is
the world's):

    python -m synthsae.study transfer --world gerasimov_like --set world.n_blocks=12 --k 12
    python -m synthsae.study transfer --model gpt2 --layer 7 --text PATH --tokens 10M \\
        --set world.n_blocks=0 --n-latents 4096 --k 32
"""

import numpy as np
import pandas as pd
import xarray as xr
from synthsae.studies.transfer.figure import (
    home_of_unstable,
    reach,
    too_few,
    transfer_of_unstable,
    worlds,
)
from synthsae.studies.transfer.scores import label_prediction

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """Where unstable latents live, in the last world that has enough of them."""
    parts = list(worlds(ds))
    table = pd.DataFrame([_row(name, part) for name, part in parts])
    enough = [i for i, (_, part) in enumerate(parts) if not too_few(part)]
    if not enough:
        text = "{unstable:.0%} of live latents are unstable, too few to say where they live."
        return Finding(text, {"unstable": table.unstable.mean()}, table)
    row = table.iloc[enough[-1]]
    return Finding(
        "{start} top {r:.0f} dimensions of one seed's unstable latents hold {transfer:.0%} of "
        "the energy of other seeds' unstable latents. Those of as many stable latents hold "
        "{stable:.0%}, random ones {chance:.0%}.",
        {
            "start": f"With {row.world}, the" if row.world else "The",
            "r": row.r,
            "transfer": row.transfer,
            "stable": row["by stable"],
            "chance": row.chance,
        },
        table,
    )


def _row(name: str, part: xr.Dataset) -> dict[str, object]:
    """One world: the unstable share, and transfer at the r that holds nearly all of it."""
    few = too_few(part)
    at = part.sel(r=reach(part)) if not few else part.isel(r=0) * np.nan
    best = part.label_f1.mean([d for d in part.label_f1.dims if d != "features"]).max()
    return {
        "world": name,
        "unstable": part.unstable_share.mean().item(),
        "r": np.nan if few else float(reach(part)),
        "transfer": at.transfer.mean().item(),
        "by stable": at.transfer_stable.mean().item(),
        "chance": at.transfer_chance.mean().item(),
        "rank / D": np.nan if few else part.unstable_rank.mean().item(),
        "best F1": np.nan if few else best.item(),
        "F1 of all unstable": np.nan if few else part.label_f1_constant.mean().item(),
    }


study = Study(
    question="Do unstable latents live in the same subspace in every seed, and what tells them?",
    base=Config(
        world=WorldConfig(
            n_isolated=128, isolated_p=0.03, zipf=0.5, rank=12, block_p=0.15, noise=0.1
        ),
        sae=SAEConfig(k=6),
        train=TrainConfig(n_steps=1000, lr=0.01),
    ),
    axes={"world.n_blocks": (0, 2, 4)},
    scores=(
        scores.unstable_transfer,
        scores.class_dimension,
        *scores.REPORT_OF_BLOCKS,
        label_prediction,
        scores.live_stability,
        scores.reconstruction,
    ),
    figure=home_of_unstable,
    supplement=transfer_of_unstable,
    finding=finding,
    quick={"world.n_blocks": (0, 4), "n_seeds": 4, "train.n_steps": 150, "eval_samples": 4096},
)
