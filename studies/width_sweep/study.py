"""Are larger dictionaries less stable, or more?

The public seed report (Wyatt 2026) found larger ones less stable, but with another k at each size
(8 at 128 latents, 32 at 512, layer 6), so size and k are confounded. The coverage law says that
more latents in a block that no rotation changes come back *more* often, since their caps cover
more of it. Both hold, of different latents. Inside blocks p_hat rises with the latents there. Data
with noise in every direction, or a k above what fires, give a large dictionary *surplus* latents
that nothing planted fixes; these never come back, and the mean over all live latents falls. With k
scarce and no noise the surplus is dead, and the mean rises.

m = 2R latents a block is the least TopK loss where k does not bind (`theory.allocate`), and SAEs
come down to it with training. At k = 2 the least loss asks for more, and blocks take up to 5R.
m A_R is only a bound once caps overlap or members lean out of the block (at noise .1, k = 8 their
energy inside falls from .93 to .88 between 96 and 512 latents): it goes from .63 to .79 while
p_hat, on the Monte Carlo law of the whole directions, does not rise.
"""

import pandas as pd
import xarray as xr
from synthsae.studies.width_sweep.figure import KEEP, first_full_recovery, stability_by_width
from synthsae.studies.width_sweep.headline import stability_by_class
from synthsae.studies.width_sweep.scores import latents_before_training

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import slices
from synthsae.plot.finding import Finding
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """What p_hat does from the first size with room for all of the truth to the largest."""
    parts = list(slices(ds.sortby("n_latents"), KEEP))
    table = pd.DataFrame([row for name, part in parts for row in _rows(name, part)])
    first, last = table.iloc[::2], table.iloc[1::2]
    return Finding(
        "From the first size that holds all of the truth to the largest, the mean p_hat of all "
        "live latents goes from {live} to {live_last}, that of block latents from {block} to "
        "{block_last} (means over settings; the table has each).",
        {
            "live": first["p_hat of live"].mean(),
            "live_last": last["p_hat of live"].mean(),
            "block": first["p_hat in blocks"].mean(),
            "block_last": last["p_hat in blocks"].mean(),
        },
        table,
    )


def _rows(name: str, part: xr.Dataset) -> list[dict[str, object]]:
    """One setting at the first size that is large enough, and at the last."""
    each = []
    for i in (first_full_recovery(part), -1):
        one = part.isel(n_latents=i)
        row: dict[str, object] = {"setting": name} if name else {}
        row |= {
            "latents": int(one.n_latents),
            "p_hat of live": one.live_reappearance.mean().item(),
            "p_hat in blocks": one.block_reappearance.mean().item(),
            "coverage law": one.coverage_prediction.mean().item(),
            "latents a block": one.latents_per_block.mean().item(),
            "surplus latents": one.surplus_latents.mean().item(),
        }
        each.append(row)
    return each


study = Study(
    question="Are larger dictionaries less stable, or more?",
    base=Config(
        world=WorldConfig(d_model=48, n_isolated=24, n_blocks=3, rank=6),
        train=TrainConfig(n_steps=300, batch_size=256, lr=0.01),
        eval_samples=8192,
    ),
    axes={
        "world.noise": (0.0, 0.1),
        "sae.k": (2, 8),
        "sae.n_latents": (24, 32, 48, 64, 96, 128, 256, 512),
    },
    scores=(
        scores.block_stability,
        scores.coverage_law,
        latents_before_training,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.live_stability,
        scores.latent_kinds,
        scores.reconstruction,
    ),
    figure=stability_by_class,
    supplement=stability_by_width,
    finding=finding,
    quick={"n_seeds": 4, "train.n_steps": 150, "sae.k": 2, "sae.n_latents": (32, 64, 192)},
    needs=(needs.blocks,),
)
