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
import xarray as xr
from synthsae.studies.transfer.figure import reach, too_few, transfer_of_unstable, worlds
from synthsae.studies.transfer.scores import label_prediction

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import interval_over_seeds
from synthsae.plot.phrases import UNKNOWN, interval, number
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """Transfer at the r that holds nearly all, ranks and F1, by world."""
    sentences = []
    for name, part in worlds(ds):
        start = f"With {name}: " if name else ""
        if too_few(part):
            text = f"{number(part.unstable_share.mean(), '.0%')} of live latents are unstable and"
            share = f"{number(part.stable_share.mean(), '.0%')} stable"
            sentences.append(f"{start}{text} {share}, too few to say where they live.")
            continue
        r = reach(part)
        at = part.sel(r=r)
        blocks = (
            f"; planted blocks hold {_words(part.unstable_in_blocks)} of the energy of unstable "
            f"latents (chance {number(part.in_blocks_chance)})"
            if part.get("unstable_in_blocks", part.l0 * np.nan).notnull().any()
            else ""
        )
        told = ", ".join(
            f"{f} {_words(part.label_f1.sel(features=f))}"
            for f in part.features.values
            if part.label_f1.sel(features=f).notnull().any()
        )
        sentences.append(
            f"{start}{number(part.unstable_share.mean(), '.0%')} of live latents are unstable; the "
            f"top {r} dimensions of one seed's hold {_words(at.transfer)} of the energy of others',"
            f" those of as many stable ones {_words(at.transfer_stable)}, random ones "
            f"{number(at.transfer_chance)}{blocks}. ER / D is {_words(part.unstable_rank)} for "
            f"unstable and {_words(part.stable_rank)} for as many stable latents. F1 of unstable: "
            f"{told or UNKNOWN}; calling all unstable {number(part.label_f1_constant.mean())}."
        )
    return " ".join(sentences)


def _words(values: xr.DataArray) -> str:
    return interval(interval_over_seeds(values))


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
    figure=transfer_of_unstable,
    finding=finding,
    quick={"world.n_blocks": (0, 4), "n_seeds": 4, "train.n_steps": 150, "eval_samples": 4096},
)
