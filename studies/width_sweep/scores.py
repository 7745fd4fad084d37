"""The latents of a block and their p_hat, before training, where prediction.json has the cell."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import xarray as xr

from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.theory import Parts

RECORDS = json.loads(Path(__file__).with_name("prediction.json").read_text())
"""What predict.py wrote: an allocation for each setting of `Parts` and number of latents."""


@requires("blocks", "separate blocks")
def latents_before_training(run: Run) -> xr.Dataset:
    """The range of m in which the least TopK loss lies, and its p_hat; NaN for unknown settings.

    Noise is ignored: the theory has none.
    """
    w, sae = run.config.world, run.config.sae.for_width(run.d_model)
    unknown = dict.fromkeys(("m", "enough", "reappearance", "reappearance_enough"), np.nan)
    found = unknown
    if w.law in ("isotropic", "gaussian"):
        parts = Parts(w.rank, sae.k, w.n_blocks, w.block_p, w.n_isolated, w.isolated_p, w.law)
        setting = asdict(parts) | {"n_latents": sae.size}
        match = [one for one in RECORDS if setting.items() <= one.items()]
        found = match[0] if match else unknown
    names = {
        "predicted_latents": ("m", "latents of a block at the least loss of the theory"),
        "predicted_latents_enough": ("enough", "least latents of a block within 1% of the energy"),
        "predicted_reappearance": ("reappearance", "p_hat of the former"),
        "predicted_reappearance_enough": ("reappearance_enough", "p_hat of the latter"),
    }
    return labelled(run, **{name: ((), found[key], text) for name, (key, text) in names.items()})
