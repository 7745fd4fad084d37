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
import xarray as xr
from synthsae.studies.excess.figure import conditions, excess, excess_by_suspect, haar_sd, in_sd

from synthsae import scores
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """The excess of every suspect in units of the Haar standard deviation."""
    said = []
    for label, part in conditions(ds):
        mean, sd = float(excess(part).mean()), haar_sd(part)
        verdict = None if np.isnan(mean) or np.isnan(sd) else abs(mean) > 3 * sd
        said.append((f"{label} {in_sd(mean, sd)}" if verdict is not None else label, verdict))
    guilty, rest, unknown = (
        "; ".join(text for text, leaves in said if leaves is verdict)
        for verdict in (True, False, None)
    )
    return (
        f"p_hat leaves the coverage law by more than 3 Haar sd with {guilty or 'no suspect'}; "
        f"within 3 sd are {rest or 'none'}" + (f"; not known: {unknown}." if unknown else ".")
    )


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
    finding=finding,
    quick={"world_seed": (0,), "train.n_steps": (30, 150), "n_seeds": 3},
    needs=(needs.blocks,),
)
