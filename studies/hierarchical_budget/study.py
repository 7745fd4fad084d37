"""Can one HierarchicalTopK replace a TopK trained at each k, and is it as stable?

HierarchicalTopK (Balagansky et al. 2025, arXiv 2505.24473) is trained to reconstruct with each of
the budgets 1..K. Here it and a TopK of the same K are cut to smaller budgets, beside the TopK that
was trained at each. Directions do not change when a code is cut; which latents are live does. On a
model or an array, where nothing is planted, stability is that of all live latents:

    python -m synthsae.study hierarchical_budget --model gpt2 --layer 7 --text PATH --tokens 10M \\
        --n-latents 4096 --k 4,8,16
"""

import xarray as xr
from synthsae.studies.hierarchical_budget.figure import KEEP, by_way, scores_by_budget
from synthsae.studies.hierarchical_budget.scores import at_budgets, planted_at_budgets

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import slices
from synthsae.plot.phrases import UNKNOWN, extremes, number
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What one SAE for all budgets loses against one SAE for each."""
    sentences = []
    for label, part in slices(ds, KEEP):
        mean = {
            way: scores.mean([d for d in ("seed", "block") if d in scores.dims])
            for way, scores in by_way(part).items()
        }
        each, one, cut = mean["each"], mean["hierarchical"], mean["cut"]
        gap = one.budget_explained_variance - each.budget_explained_variance
        loss = cut.budget_explained_variance - each.budget_explained_variance
        budgets = dict.fromkeys(str(k) for k in gap.budget.values[[0, -1]])
        sentences.append(
            f"{f'With {label}, a' if label else 'A'}gainst TopK trained at "
            f"{'each k from ' * (len(budgets) > 1) or 'k = '}{' to '.join(budgets)}, the EV of one "
            f"HierarchicalTopK is {_change(gap)}, and that of one TopK, cut, "
            f"{extremes(loss, '+.3f')}. {_stability(each, one)}"
        )
    return " ".join(sentences)


def _change(gap: xr.DataArray) -> str:
    """Least to largest difference of EV, with the budgets at which it is."""
    gap = gap.dropna("budget")
    ends = {
        int(gap.budget[at]): f"{float(gap[at]):+.3f} (at {int(gap.budget[at])})"
        for at in ((int(gap.argmin("budget")), int(gap.argmax("budget"))) if gap.size else ())
    }
    return " to ".join(ends.values()) or UNKNOWN


def _stability(each: xr.Dataset, one: xr.Dataset) -> str:
    """What came back in other seeds: of the truth where it is known, else of all live latents."""
    if "budget_block_reappearance" not in each:
        chance = number(max(ds.budget_live_reappearance_chance.max() for ds in (each, one)), ".2g")
        said = _p_hat("live latents", "budget_live_reappearance", each, one)
        return f"{said} (chance at most {chance})."
    return (
        f"{_p_hat('isolated features', 'budget_isolated_reappearance', each, one)}; "
        f"{_p_hat('block latents', 'budget_block_reappearance', each, one)}, at most "
        f"{_off_law(each)} and {_off_law(one)} from the coverage law."
    )


def _p_hat(what: str, name: str, each: xr.Dataset, one: xr.Dataset) -> str:
    """Range over budgets of a p_hat, of TopK at each k and of the HierarchicalTopK."""
    ends = [extremes(ds[name]) for ds in (each, one)]
    return f"p_hat of {what} is {ends[0]} with TopK and {ends[1]} with HierarchicalTopK"


def _off_law(ds: xr.Dataset) -> str:
    """Largest distance of p_hat from the law, over budgets."""
    gap = abs(ds.budget_block_reappearance - ds.budget_coverage_prediction)
    return number(gap.max(), ".3f")


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
