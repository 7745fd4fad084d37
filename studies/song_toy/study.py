"""Does agreement between seeds track agreement with the truth? The toy of Song et al. (2505.20254).

D = 16, 32 unit features, |N(0, 1)| values, 50,000 samples, TopK with k = 3. What differs here: each
feature fires with probability 3/32 on its own (there, 3 a sample), samples are fresh at every step
(there, several epochs of 50,000; a run of 391 steps of 128 sees as many), every budget is a
run with a schedule of its own, and features are a tight frame: 32 in R^16 have a mean squared
cosine of .034 and a largest of .60, random unit features .063 and .71, so ours are easier.
"""

import xarray as xr
from synthsae.studies.song_toy.figure import agreement_by_samples, rank_correlation

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.phrases import COSINE, change, extremes, number
from synthsae.plot.worlds import averaged, in_words
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """How the two scores move together, and where they start and end."""
    ds = averaged(ds, "n_steps")
    ends = ds.isel(n_steps=[0, -1] if ds.sizes["n_steps"] > 1 else [0])
    pair, truth = (
        [
            in_words(ends[name].isel(n_steps=i), own=name == "feature_mcc", within=COSINE)
            for i in range(ends.sizes["n_steps"])
        ]
        for name in ("pairwise_mcc", "feature_mcc")
    )
    chance, within = number(ds.pairwise_mcc_chance.mean(), ".3f"), rank_correlation(ds)
    steps = ends.n_steps.values
    if len(steps) > 1:
        start = f"From {steps[0]} to {steps[1]} steps"
        moved, true = change(*pair), change(*truth)
    else:
        start = f"At {steps[0]} steps"
        moved, true = f"is {pair[0]}", f"is {truth[0]}"
    text = f"{start} PW-MCC {moved} (chance {chance}) and MCC with the truth {true}."
    return text + _order(within)


def _order(within: xr.DataArray) -> str:
    """How the two scores order the seeds; empty where no order is known."""
    if not within.notnull().any():
        return ""
    ends = extremes(within)
    return (
        " Over the seeds of one budget and world their rank correlation is "
        f"{number(within.mean())} on average{f' ({ends})' * (' to ' in ends)}."
    )


study = Study(
    question="Does agreement between seeds track agreement with the truth?",
    base=Config(
        world=WorldConfig(d_model=16, n_isolated=32, isolated_p=3 / 32, n_blocks=0),
        sae=SAEConfig(n_latents=32, k=3),
        train=TrainConfig(batch_size=128, lr=0.01),
        eval_samples=8192,
    ),
    axes={
        "train.n_steps": (12, 25, 50, 100, 200, 400, 800, 1600),
        "world_seed": (0, 1, 2),
    },
    scores=(scores.seed_agreement, scores.feature_recovery, scores.reconstruction),
    figure=agreement_by_samples,
    finding=finding,
    quick={"train.n_steps": (10, 50, 400), "world_seed": (0, 1), "n_seeds": 5},
    needs=(needs.isolated,),
)
