"""Does any variant of the SAE make block latents stable, and does any lose the subspace?

Every architecture at a few values of k, on isolated features beside blocks whose law no rotation
changes. k is not the same thing to all of them (a maximum, a mean, an aim of a penalty), so they
are compared at one explained variance (EV): each score of a seed is interpolated over the EV of
that seed between neighbouring k. The EV is the middle of the range that every seed of every
architecture reaches (`figures.matched`).

A block is not identifiable by any of them: an architecture that is rotation-equivariant inside it
gets what its code covers, so the law is each one's own prediction. One learning rate serves all.
"""

import numpy as np
import pandas as pd
import xarray as xr
from synthsae.studies.variant_sweep.figure import (
    COMPARED,
    KEEP,
    STABLE,
    architectures_by_ev,
    blocks_at_matched_ev,
    verdicts,
)
from synthsae.studies.variant_sweep.matched import at_matched_ev

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.architectures import label
from synthsae.plot.common import slices
from synthsae.plot.finding import Finding
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """At one EV: the largest p_hat inside blocks, and the least overlap with them."""
    each = []
    for name, part in slices(ds, KEEP):
        matched = at_matched_ev(part, COMPARED)
        for v in verdicts(matched):
            each.append(
                ({"setting": name} if name else {})
                | {
                    "EV": matched.level,
                    "architecture": label(v.name),
                    "p_hat": v.p,
                    "coverage law": v.law,
                    "in sd": v.excess / v.sd if v.sd > 0 else np.nan,
                    "p_hat outside": v.outside,
                    "overlap": v.overlap,
                }
            )
    table = pd.DataFrame(each)
    seen = table[table.p_hat.notna()]
    if seen.empty:
        return Finding("No explained variance is reached by all: nothing is compared.", table=table)
    most, least = seen.loc[seen.p_hat.idxmax()], seen.loc[seen.overlap.idxmin()]
    stable = most.p_hat >= STABLE
    answer = f"{most.architecture} makes" if stable else "No variant makes"
    kept = "keep" if least.overlap >= STABLE else "do not all keep"
    return Finding(
        f"{answer} block latents stable at equal explained variance: p_hat is at most {{p}} "
        f"({most.architecture}), where the coverage law of its own code says {{law}}. Variants "
        f"{kept} the subspace: the least overlap is {{overlap}} ({least.architecture}).",
        {"p": most.p_hat, "law": most["coverage law"], "overlap": least.overlap},
        table,
    )


study = Study(
    question="Does any variant make block latents stable, and does any lose the subspace?",
    base=Config(
        world=WorldConfig(
            d_model=48, n_isolated=24, isolated_p=0.1, n_blocks=3, rank=6, block_p=0.3
        ),
        train=TrainConfig(n_steps=400, batch_size=256, lr=0.02),
        n_seeds=6,
        eval_samples=8192,
    ),
    axes={
        "sae.arch": (
            "topk",
            "batchtopk",
            "relu",
            "jumprelu",
            "gated",
            "matryoshka",
            "hierarchical_topk",
            "kron",
        ),
        "sae.k": (1, 2, 3, 6),
    },
    scores=(
        scores.block_stability,
        scores.coverage_law,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.live_stability,
        scores.reconstruction,
        scores.training_cost,
    ),
    figure=blocks_at_matched_ev,
    supplement=architectures_by_ev,
    finding=finding,
    quick={"n_seeds": 3, "train.n_steps": 80, "sae.k": (1, 6), "eval_samples": 2048},
    needs=(needs.blocks, needs.several("sae.k")),
)
