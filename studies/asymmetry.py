"""Do stable latents carry the function because they are stable, or because they fire more often?

Gerasimov et al. (2606.12138) report that stable latents fire more often (.44% of tokens against
.18%) and that zeroing them costs more. Here blocks of rank 12, whose latents no seed finds again,
stay the same, and isolated features fire from far more often to far more rarely than the latents of
the blocks: the published order, and its opposite. The prediction (`measures.ideal_code`) fits
nothing: the code of an SAE that has learned everything, and a latent's cost is what it fires. Our
worlds are ours; theirs is not published. The preset, in some 30 minutes:

    python -m synthsae.study asymmetry --world gerasimov_like --set world.isolated_p=0.02 \\
        --set sae.k=12
"""

import numpy as np
import xarray as xr

from synthsae import measures
from synthsae.config import Config
from synthsae.figures import cost_by_stability
from synthsae.figures.asymmetry import at_equal_rate, common_count, ratio, worlds
from synthsae.figures.common import interval_over_seeds
from synthsae.sae import SAEConfig
from synthsae.stats import Interval
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What stable latents cost against unstable ones, in total and at equal rate, by world."""
    sentences = []
    for name, part in worlds(ds):
        n = common_count(part)
        lost = part.masked_cost.sel(masked=n).mean("seed")
        stable, unstable = (float(lost.sel(label=c)) for c in ("stable", "unstable"))
        gap = float(np.abs(part.class_energy / part.class_cost - 1).max())
        text = (
            f"Stable latents fire {_words(ratio(part.class_rate))} times as often as unstable ones "
            f"and cost {_words(ratio(part.class_cost))} times as much; zeroing {n} of them loses "
            f"{stable:.3f} of EV against {unstable:.3f}. At equal rate one with p_hat 1 costs "
            f"{_words(at_equal_rate(part))} times one with p_hat 0. Of the variance "
            f"of log cost rate alone explains {_words(interval_over_seeds(part.rate_unique))}, p_hat "
            f"alone {_words(interval_over_seeds(part.p_hat_unique))} and both "
            f"{_words(interval_over_seeds(part.cost_r2))}; the mean cost of a class is its energy "
            f"to {gap:.1%}."
        )
        sentences.append(f"With {name}: {text[0].lower()}{text[1:]}" if name else text)
    return " ".join(sentences)


def _words(score: Interval) -> str:
    mean, low, high = (f"{float(v):.2f}" for v in score)
    return mean if low == "nan" else f"{mean} [{low}, {high}]"


study = Study(
    question="Do stable latents carry the function because they are stable, or fire more often?",
    base=Config(
        world=WorldConfig(n_isolated=128, zipf=0.5, rank=12, block_p=0.15, noise=0.01),
        train=TrainConfig(n_steps=1500, lr=0.01),
    ),
    axes={"world.isolated_p": (0.03, 0.008, 0.002)},
    measures=(
        measures.latent_function,
        measures.masking_by_class,
        measures.ideal_code,
        measures.live_stability,
        measures.reconstruction,
    ),
    figure=cost_by_stability,
    finding=finding,
    quick={
        "world.isolated_p": (0.03, 0.002),
        "n_seeds": 4,
        "train.n_steps": 150,
        "eval_samples": 4096,
    },
)
