"""Do latents of a language model come back as those of a planted world do? One figure for both.

The world is `gerasimov_like`: isolated features, and blocks in which nothing prefers a direction.
Its parameters were not fitted to any model. With a model beside it, a row each (the empty name
before the comma is the world):

    python -m synthsae.study synthetic_vs_real --model ,NAME-OR-FOLDER --layer 3 \\
        --text PATH-OR-DATASET --tokens 1M --k 16

What the two share is no proof that the model is made as the world is; what they do not share shows
what the world lacks.
"""

import xarray as xr

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.report import settings, stability_report
from synthsae.plot.words import report
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import PRESETS


def finding(ds: xr.Dataset) -> str:
    """The stability report of each source."""
    return "\n".join(f"{label}: {report(part)}" for label, part in settings(ds))


study = Study(
    question="Do latents of a language model come back as those of a planted world do?",
    base=Config(
        world=PRESETS["gerasimov_like"],
        sae=SAEConfig(k=16),
        train=TrainConfig(n_steps=1500, batch_size=512, lr=0.003),
        n_seeds=5,
        eval_samples=16384,
    ),
    axes={"source.model": ("",)},
    scores=(*scores.REPORT, *scores.REPORT_OF_BLOCKS),
    figure=stability_report,
    finding=finding,
    quick={"n_seeds": 3, "train.n_steps": 100, "eval_samples": 4096, "sae.n_latents": 256},
)
