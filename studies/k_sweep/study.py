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
from synthsae.studies.k_sweep.figure import stability_over_training
from synthsae.studies.k_sweep.scores import planted_sparsity

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.architectures import label
from synthsae.plot.finding import Finding, rows
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """What longer training does at the largest k to the features' p_hat."""
    ds = ds.expand_dims([d for d in ("arch", "k", "n_steps") if d not in ds.dims])
    table = rows(ds.sortby(["k", "n_steps"]), ("seed", "seed_a", "seed_b", "block", "angle"), _row)
    known = table[table.p_hat.notna()]
    if known.empty:
        return Finding("No p_hat of isolated features is known.", table=table)
    last = known[known.k == known.k.max()]
    steps = last.n_steps
    first, most = (last[steps == end] for end in (steps.min(), steps.max()))
    arch = label(str(first.arch[first.p_hat.idxmin()]))
    values = {
        "arch": arch,
        "first": first.p_hat.min(),
        "last": most.p_hat.min(),
        "short": steps.min(),
        "long": steps.max(),
    }
    text = "At the largest k, {first:.0%} of isolated features come back with {arch} "
    text += "after {short:,.0f} steps, the fewest of all architectures."
    if steps.nunique() > 1:
        text += " After {long:,.0f} steps at least {last:.0%} come back with each of them."
    return Finding(text, values, table)


def _row(one: xr.Dataset) -> dict[str, float]:
    """Means over seeds of one setting."""
    return {
        "p_hat": one.isolated_reappearance.mean().item(),
        "EV": one.explained_variance.mean().item(),
    }


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
