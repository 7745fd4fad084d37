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
from synthsae.plot.finding import Finding, rows
from synthsae.plot.worlds import SEEDS, averaged
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """Both scores at the largest budget, and how they order the seeds of one budget."""
    within = rank_correlation(ds)
    table = rows(averaged(ds, "n_steps").sortby("n_steps"), ("world_seed", *SEEDS), _row)
    last = table.iloc[-1]
    text = (
        "At the largest budget seeds agree with each other to {pair} (PW-MCC; chance {chance}) "
        "and with the truth to {truth} (MCC)."
    )
    if within.notnull().any():
        text += " Among seeds of one budget the two agreements have a rank correlation of {order}."
    numbers = {
        "pair": last["PW-MCC"],
        "chance": last["chance"],
        "truth": last["MCC"],
        "order": within.mean().item(),
    }
    return Finding(text, numbers, table)


def _row(one: xr.Dataset) -> dict[str, float]:
    """Means over worlds and seeds at one budget."""
    return {
        "PW-MCC": one.pairwise_mcc.mean().item(),
        "MCC": one.feature_mcc.mean().item(),
        "chance": one.pairwise_mcc_chance.mean().item(),
    }


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
