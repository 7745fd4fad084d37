"""Can one HierarchicalTopK replace a TopK trained at each k, and is it as stable?

HierarchicalTopK (Balagansky et al. 2025, arXiv 2505.24473) is trained to reconstruct with each of
the budgets 1..K. Here it and a TopK of the same K are cut to smaller budgets, beside the TopK that
was trained at each. Directions do not change when a code is cut; which latents are live does. On a
model or an array, where nothing is planted, stability is that of all live latents:

    python -m synthsae.study hierarchical_budget --model gpt2 --layer 7 --text PATH --tokens 10M \\
        --n-latents 4096 --k 4,8,16
"""

import pandas as pd
import xarray as xr
from synthsae.studies.hierarchical_budget.figure import KEEP, by_way, scores_by_budget
from synthsae.studies.hierarchical_budget.scores import at_budgets, planted_at_budgets

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import slices
from synthsae.plot.finding import Finding
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """What one SAE for all budgets loses against one SAE for each."""
    parts = list(slices(ds, KEEP))
    table = pd.concat([_table(label, part) for label, part in parts], ignore_index=True)
    gap = table["EV, HierarchicalTopK"] - table["EV, each k"]
    cut = table["EV, TopK cut"] - table["EV, each k"]
    text = (
        "Against a TopK trained at each k, one HierarchicalTopK changes EV by {low:+.3f} to "
        "{high:+.3f}; one TopK, cut to smaller budgets, by {cut:+.3f} at worst."
    )
    return Finding(text, {"low": gap.min(), "high": gap.max(), "cut": cut.min()}, table)


WAYS = {"each": "each k", "cut": "TopK cut", "hierarchical": "HierarchicalTopK"}
PLANTED = {
    "explained_variance": "EV",
    "isolated_reappearance": "p_hat of features",
    "block_reappearance": "p_hat in blocks",
    "coverage_prediction": "coverage law",
}
UNPLANTED = {
    "explained_variance": "EV",
    "live_reappearance": "p_hat",
    "live_reappearance_chance": "chance",
}
"""Scores and their columns where a truth is planted, and where none is."""


def _table(label: str, part: xr.Dataset) -> pd.DataFrame:
    """A row for each budget: every score of each way to serve it."""
    ways = {WAYS[name]: one for name, one in by_way(part).items()}
    scored = PLANTED if "budget_block_reappearance" in part else UNPLANTED
    columns = {
        f"{text}, {way}": one[f"budget_{name}"].mean(
            [d for d in one[f"budget_{name}"].dims if d != "budget"]
        )
        for name, text in scored.items()
        for way, one in ways.items()
        if f"budget_{name}" in one
    }
    table = pd.DataFrame(
        {"budget": next(iter(columns.values())).budget.values}
        | {name: values.values for name, values in columns.items()}
    )
    return table.assign(setting=label) if label else table


study = Study(
    question="Can one HierarchicalTopK replace a TopK trained at each k, and is it as stable?",
    base=Config(
        world=WorldConfig(
            d_model=48, n_isolated=24, isolated_p=0.1, n_blocks=3, rank=6, block_p=0.3
        ),
        train=TrainConfig(n_steps=400, batch_size=256, lr=0.02),
        n_seeds=6,
        eval_samples=8192,
    ),
    axes={
        "sae.arch": ("topk", "hierarchical_topk"),
        "sae.k": (1, 2, 3, 4, 6, 8),
    },
    scores=(at_budgets, planted_at_budgets, scores.seed_agreement, scores.training_cost),
    figure=scores_by_budget,
    finding=finding,
    quick={"n_seeds": 3, "train.n_steps": 100, "sae.k": (1, 3, 6), "eval_samples": 2048},
    needs=(needs.each_of("sae.arch", "topk", "hierarchical_topk"),),
)
