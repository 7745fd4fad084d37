"""Does a k above what samples need make true features unstable, and does any loss prevent it?

Isolated features are identifiable: at the right k every seed finds each of them. A code that may
use more latents than a sample has planted directions can write it in many ways, all of them with
hardly any loss, so seeds settle on different dictionaries. What samples need is known before any
training: the planted directions that are active in them, on average (`planted_l0`) and in nearly
all of them (`planted_l0_high`). How far above it features are lost is not known: README.md
has a rule that failed. A loss that also counts every smaller budget (HierarchicalTopK) goes on
asking for the shortest code; one that counts prefixes of the dictionary (Matryoshka) does not.
"""

import xarray as xr
from synthsae.studies.k_sweep.figure import KEEP, last_stable, stability_by_k
from synthsae.studies.k_sweep.scores import planted_sparsity

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.architectures import label
from synthsae.plot.common import defined, slices
from synthsae.plot.phrases import count, number
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows, an architecture at a time."""
    sentences = []
    for name, part in slices(ds.sortby("k"), KEEP):
        clauses = []
        for arch in part.arch.values:
            one, last = part.sel(arch=arch), last_stable(part.sel(arch=arch))
            p = one.isolated_reappearance.mean("seed").isel(k=-1).item()
            ev = one.explained_variance.mean("seed").isel(k=-1).item()
            until = f"up to k = {last}" if last else "at no k"
            clauses.append(
                f"by {label(str(arch))} {until} (p_hat {number(p)} and EV {number(ev, '.3f')} at "
                f"k = {one.k.values[-1]})"
            )
        least = defined(part, "stable")
        text = f"isolated features are stable (p_hat {least:g} or more) {', '.join(clauses)}"
        if "planted_l0" in part:
            need = count(part.planted_l0.mean(), "latent", ".3g")
            most = number(part.planted_l0_high.mean(), ".0f")
            text += f"; samples need {need} on average and 99% of them {most} at most"
        sentences.append(f"With {name}, {text}." if name else f"{text[0].upper()}{text[1:]}.")
    return " ".join(sentences)


study = Study(
    question="Does a k above what samples need make true features unstable, and who prevents it?",
    base=Config(
        world=WorldConfig(d_model=64),
        train=TrainConfig(n_steps=600, batch_size=512, lr=0.01),
        n_seeds=6,
        eval_samples=16384,
    ),
    axes={
        "sae.arch": ("topk", "batchtopk", "matryoshka", "hierarchical_topk"),
        "sae.k": (2, 4, 6, 8, 16, 32),
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
    figure=stability_by_k,
    finding=finding,
    quick={"n_seeds": 3, "train.n_steps": 100, "sae.k": (4, 32), "eval_samples": 4096},
    needs=(needs.isolated,),
)
