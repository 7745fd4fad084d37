"""When is a latent unstable because it is undertrained, and when because nothing fixes it?

Training runs of growing length, each whole (its schedule is stretched) and one pass over its data,
on worlds of isolated features and of blocks whose law no rotation changes. Too few samples look
like instability everywhere; more of them cure isolated features, and bring the latents of a block
to the coverage law and not to 1. In the middle the law holds for the codes as they are: nothing in
half-trained data prefers a rotation either, so distance from it is no sign of undertraining.
The practical signs, without the truth: p_hat no longer rises when the budget doubles, and what does
not come back fills one subspace in all seeds, more than as many stable latents do. The second alone
is no proof: rare features that are undertrained also live together, in what the stable ones leave.
"""

import numpy as np
import xarray as xr
from synthsae.studies.budget_sweep.figure import first_stable, stability_by_budget
from synthsae.studies.budget_sweep.scores import not_stable_subspace

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import in_text
from synthsae.plot.finding import Finding, rows
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

INSIDE = ("n_steps", "seed", "seed_a", "seed_b", "block", "angle")


def finding(ds: xr.Dataset) -> Finding:
    """From which budget on features come back, and where block latents end."""
    table = rows(ds.sortby("n_steps"), INSIDE, _row)
    least = in_text(ds, "stable")
    last = table.iloc[-1]
    known = np.isfinite(table["features stable from"]).all()
    budget = "from {budget:,.0f} samples on" if known else "at no budget, in part of the settings"
    where = f"at rank {last['rank']:g} " if "rank" in last and len(table) > 1 else ""
    return Finding(
        f"Isolated features come back (p_hat >= {least}) {budget}. Block latents {where}end at a "
        "p_hat of {p}, where the coverage law says {law}: more training does not fix them.",
        {
            "budget": table["features stable from"].max(),
            "p": last["p_hat in blocks"],
            "law": last["coverage law"],
        },
        table,
    )


def _row(part: xr.Dataset) -> dict[str, float]:
    """One rank: the first budget that is enough, and scores at the last one."""
    end = part.isel(n_steps=-1)
    gain = (part.not_stable_transfer - part.not_stable_transfer_null).mean("seed")
    gain = gain.dropna("n_steps").values
    return {
        "features stable from": first_stable(part),
        "samples": float(end.training_samples),
        "p_hat in blocks": end.block_reappearance.mean().item(),
        "coverage law": end.coverage_prediction.mean().item(),
        "transfer beyond its null, first": gain[0] if gain.size else np.nan,
        "last": gain[-1] if gain.size else np.nan,
    }


study = Study(
    question="When is a latent unstable for lack of training, and when because nothing fixes it?",
    base=Config(
        world=WorldConfig(d_model=48, n_isolated=24, n_blocks=3),
        train=TrainConfig(batch_size=256, lr=0.01),
        eval_samples=8192,
    ),
    axes={
        "world.rank": (4, 8),
        "train.n_steps": (0, 10, 20, 40, 80, 160, 320, 640, 1280),
    },
    scores=(
        scores.training_budget,
        scores.block_stability,
        scores.coverage_law,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.live_stability,
        not_stable_subspace,
        scores.reconstruction,
    ),
    figure=stability_by_budget,
    finding=finding,
    quick={"n_seeds": 4, "train.n_steps": (0, 20, 80, 200), "eval_samples": 2048},
    needs=(needs.blocks,),
)
