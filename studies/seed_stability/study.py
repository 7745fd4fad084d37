"""Does stability fall with depth, and with dictionary size? The protocol of the seed reports.

TopK SAEs of many seeds, layers and sizes, their decoders matched one to one (Hungarian) among live
latents and among all, beside random directions. On a language model, offline from a folder too:

    python -m synthsae.study seed_stability --model NAME-OR-FOLDER --layer 7 \\
        --text PATH-OR-DATASET --tokens 10M --seeds 8 --n-latents 16384 --k 64

The publishable minimum of Wyatt (2026) is that with `--seeds 20 --n-latents 128,512,2048,8192` and
five layers of each of three models. Its five-seed original (GPT-2, residual before layers 0 and 6,
about 1k tokens in 8 epochs, live only) has k = 8 at 128 latents and, at layer 6, k = 32 at 512: its
effect of size is also one of k. With one k for both sizes, and more passes than those 8:

    python -m synthsae.study seed_stability --model gpt2 --hook resid_pre --layer 0,6 --seeds 5 \\
        --n-latents 128,512 --k 8 --text TEXT --tokens 1100 --set source.passes=100 \\
        --set train.batch_size=100 --set eval_samples=110

Few tokens lower every number here: compare budgets before sizes. Without a model the source is a
planted world, as in the other studies, which has no layers.
"""

import json
from dataclasses import replace

import xarray as xr
from synthsae.studies.seed_stability.figure import stability_and_rank, stability_by_size
from synthsae.studies.seed_stability.finding import of_sizes

from realdata import scores as text
from synthsae import scores
from synthsae.config import Config
from synthsae.config.sources import NAMING
from synthsae.plot.finding import Finding
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """p_hat over sizes and layers, and what its classes are."""
    found = of_sizes(ds)
    if _planted(ds):
        scope = "On a planted world, as no --model is given; this says nothing of models."
        return replace(found, text=f"{scope} {found.text}")
    return found


def _planted(ds: xr.Dataset) -> bool:
    source = json.loads(ds.attrs["config"])["base"].get("source", {})
    return not any(name in ds.dims or source.get(name) for name in NAMING)


study = Study(
    question="Does stability fall with depth, and with the size of the dictionary?",
    base=Config(
        world=WorldConfig(
            d_model=64, n_isolated=96, isolated_p=0.04, zipf=0.5, n_blocks=4, rank=8, noise=0.03
        ),
        train=TrainConfig(n_steps=1000, batch_size=512),
        eval_samples=16384,
    ),
    axes={"sae.n_latents": (128, 512, 2048)},
    axes_of={"model": {"source.layer": (0,)}},
    scores=(
        *scores.REPORT,
        *scores.REPORT_OF_BLOCKS,
        scores.matched_agreement_all,
        text.spliced_loss,
        text.surface_form,
        text.matched_contexts,
    ),
    figure=stability_and_rank,
    supplement=stability_by_size,
    finding=finding,
    quick={"n_seeds": 4, "train.n_steps": 150, "sae.n_latents": (64, 256), "eval_samples": 4096},
)
