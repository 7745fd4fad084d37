"""Does a k above what samples need make true features unstable, or late?

Isolated features are identifiable: at the right k every seed finds each of them. A code that may
use more latents than a sample has planted directions can write the sample in many ways, all of them
with hardly any loss. What prefers the true features is then weak, and training needs long to follow
it. What samples need is known before any training: the planted directions that are active in them,
on average (`planted_l0`) and in nearly all of them (`planted_l0_high`). A loss that also counts
every smaller budget (HierarchicalTopK) keeps the preference strong.

Until 2026-11-26 this study had one budget and called the features lost: see the page's errata.
"""

import xarray as xr
from synthsae.studies.k_sweep.figure import parts, stability_over_training
from synthsae.studies.k_sweep.scores import planted_sparsity

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.architectures import label
from synthsae.plot.phrases import change, number
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What longer training does to the features' p_hat at the largest k, by architecture."""
    sentences = []
    for name, part in parts(ds):
        last = part.isel(k=-1)
        p = last.isolated_reappearance.mean("seed")
        each = (
            f"of {label(str(a))} {change(*(number(p.sel(arch=a)[i]) for i in (0, -1)))}"
            for a in part.arch.values
        )
        steps = last.n_steps.values
        more = f"from {steps[0]:,} to {steps[-1]:,} steps"
        budget = more if len(steps) > 1 else f"over {steps[0]:,} steps"
        where = f"With {name}, at" if name else "At"
        sentences.append(
            f"{where} k = {last.k.item()}, {budget}, p_hat of isolated features {', '.join(each)}."
        )
    return " ".join(sentences)


study = Study(
    question="Does a k above what samples need make true features unstable, or only late?",
    base=Config(
        world=WorldConfig(d_model=64),
        train=TrainConfig(batch_size=512, lr=0.03),
        n_seeds=4,
        eval_samples=16384,
    ),
    axes={
        "sae.arch": ("topk", "batchtopk", "matryoshka", "hierarchical_topk"),
        "sae.k": (4, 32),
        "train.n_steps": (600, 2400),
    },
    scores=(
        planted_sparsity,
        scores.block_stability,
        scores.coverage_law,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.reconstruction,
    ),
    figure=stability_over_training,
    finding=finding,
    quick={"n_seeds": 3, "train.n_steps": (50, 100), "sae.k": (4, 32), "eval_samples": 4096},
    needs=(needs.isolated,),
)
