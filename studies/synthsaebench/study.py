"""What does SynthSAEBench score, and do the latents that it scores come back in another seed?

The preset `synthsaebench_1k`: a sixteenth of the features, trees and latents of SynthSAEBench-16k
(2602.14687), with its Zipf law, low-rank correlations, hierarchies and magnitudes; latents are a
quarter of the features, as there. Scores have SAELens' definitions (`benchmark_scores`):
cosines absolute, means over all latents. Ours beside them are signed and over live latents. Other
architectures: `--set sae.arch=topk,batchtopk,jumprelu,matryoshka`. The full one, for a GPU
(M = 4096; the published training has 200M samples):

    python -m synthsae.study synthsaebench --set world.d_model=768 --set world.n_isolated=16384 \\
        --set world.n_trees=128 --set world.isolated_p_min=5e-4 --set sae.n_latents=4096 \\
        --set sae.k=15,25,35,45 --set train.lr=3e-4 --set train.batch_size=1024 \\
        --set train.n_steps=195000
"""

import xarray as xr
from synthsae.studies.synthsaebench.figure import scores_by_k
from synthsae.studies.synthsaebench.scores import benchmark_scores

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding, rows
from synthsae.plot.worlds import SEEDS
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import PRESETS

SCORES = {
    "bench_f1": "F1",
    "bench_mcc": "MCC",
    "bench_precision": "precision",
    "bench_recall": "recall",
    "bench_uniqueness": "uniqueness",
    "explained_variance": "EV",
    "live_reappearance": "p_hat",
    "bench_dead": "dead",
}
"""Variable -> column of the table."""


def finding(ds: xr.Dataset) -> Finding:
    """The k of the best F1 and of the best EV, and how stable latents are at the first."""
    table = rows(ds.sortby("k"), SEEDS, _row)
    if not table.F1.notna().any():
        return Finding("No F1 is known at any k.", table=table)
    best = table.loc[table.F1.idxmax()]
    text = "F1 is best at k = {k:.0f} ({f1}); there p_hat of live latents is {p}."
    numbers = {"k": best.k, "f1": best.F1, "p": best.p_hat}
    if table.EV.notna().any() and len(table) > 1:
        text += " EV is best at k = {k_ev:.0f}."
        numbers["k_ev"] = table.k[table.EV.idxmax()]
    return Finding(text, numbers, table)


def _row(one: xr.Dataset) -> dict[str, float]:
    """Means over seeds at one k."""
    return {text: one[name].mean().item() for name, text in SCORES.items()}


study = Study(
    question="What does SynthSAEBench score, and do those latents come back in another seed?",
    base=Config(
        world=PRESETS["synthsaebench_1k"],
        sae=SAEConfig(n_latents=256, k=12),
        train=TrainConfig(n_steps=600, batch_size=512, lr=0.01),
        n_seeds=5,
        eval_samples=8192,
    ),
    axes={"sae.k": (3, 6, 12, 24)},
    scores=(
        benchmark_scores,
        scores.live_stability,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.reconstruction,
        scores.training_cost,
    ),
    figure=scores_by_k,
    finding=finding,
    quick={"sae.k": (6, 12), "n_seeds": 3, "train.n_steps": 150, "eval_samples": 4096},
    needs=(needs.isolated,),
)
