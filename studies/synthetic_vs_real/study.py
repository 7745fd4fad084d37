"""Do latents of a language model come back as those of a planted world do? One figure for both.

The world is `gerasimov_like`: isolated features, and blocks in which nothing prefers a direction.
Its parameters were not fitted to any model. With a model beside it, a row each (the empty name
before the comma is the world):

    python -m synthsae.study synthetic_vs_real --model ,NAME-OR-FOLDER --layer 3 \\
        --text PATH-OR-DATASET --tokens 1M --k 16

What the two share is no proof that the model is made as the world is; what they do not share shows
what the world lacks.
"""

import numpy as np
import pandas as pd
import xarray as xr
from synthsae.studies.synthetic_vs_real.figure import classes_and_ranks

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.plot.report import settings, stability_report
from synthsae.plot.words import report
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import PRESETS


def finding(ds: xr.Dataset) -> Finding:
    """The stability report of each source: the first in words, all in the table."""
    each = {label or "planted world": report(part) for label, part in settings(ds)}
    tables = [
        found.table.assign(source=label) for label, found in each.items() if found.table is not None
    ]
    table = pd.concat(tables, ignore_index=True) if tables else None
    (first, found), *more = each.items()
    if not more:
        return Finding(f"{{source}}: {found.text}", {**found.values, "source": first}, table)
    other, last = more[-1]
    return Finding(
        "A live latent of {source} is found in another SAE with probability {p} (chance "
        "{chance:.2g}), one of {other} with {p_other}.",
        {**found.values, "source": first, "other": other, "p_other": last.values.get("p", np.nan)},
        table,
    )


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
    figure=classes_and_ranks,
    supplement=stability_report,
    finding=finding,
    quick={"n_seeds": 3, "train.n_steps": 100, "eval_samples": 4096, "sae.n_latents": 256},
)
