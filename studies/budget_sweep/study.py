"""When is a latent unstable because it is undertrained, and when because nothing fixes it?

Training runs of growing length, each whole (its schedule is stretched) and one pass over its data,
on worlds of isolated features and of blocks whose law no rotation changes. Too few samples look
like instability everywhere; more of them cure isolated features, and bring the latents of a block
to the coverage law and not to 1. In the middle the law holds for the codes as they are: nothing in
half-trained data prefers a rotation either, so distance from it is no sign of undertraining.
The practical signs, without the truth: p_hat no longer rises when the budget doubles, and what does
not come back fills one subspace in all seeds, beyond its null. The second alone is no proof: rare
features that are undertrained also live together, in what the stable ones leave.
"""

import numpy as np
import xarray as xr
from synthsae.studies.budget_sweep.figure import first_stable, stability_by_budget
from synthsae.studies.budget_sweep.scores import not_stable_subspace

from synthsae import scores
from synthsae.arrays import Array
from synthsae.config import Config
from synthsae.plot.common import in_text, interval_over_seeds, slices
from synthsae.plot.phrases import TO, interval, number, span
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows, a sentence a rank."""
    keep = ("n_steps", "seed", "seed_a", "seed_b", "block", "angle")
    sentences = []
    for label, part in slices(ds.sortby("n_steps"), keep):
        end = part.isel(n_steps=-1)
        p, law = interval_over_seeds(end.block_reappearance), end.coverage_prediction.mean()
        gain = (part.loose_transfer - part.loose_transfer_null).mean("seed").dropna("n_steps")
        least = in_text(part, "stable")
        first, start = first_stable(part), f"At {label} " if label else ""
        sentences.append(
            f"{start}{'i' if start else 'I'}solated features come back (p_hat >= {least}) "
            + (f"from {first:,.0f} samples on" if np.isfinite(first) else "at no budget")
            + f"; with {number(end.training_samples, ',.0f')} samples block latents are at "
            f"{interval(p, '.3f', ends=TO)}, where the coverage law says {number(law, '.3f')}, "
            + _shared(gain.values)
        )
    return " ".join(sentences)


def _shared(gain: Array) -> str:
    """What loose latents share, from the first budget at which there are some to the last."""
    if not gain.size:
        return "and two seeds have no loose latents at any budget."
    ends = span(gain[[0, -1]])
    verb = "went from" if " to " in ends else "was"
    return f"and what loose latents share with those of another seed, over its null, {verb} {ends}."


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
