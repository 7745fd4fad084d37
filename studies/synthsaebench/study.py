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

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from synthsae.studies.synthsaebench.figure import scores_by_k
from synthsae.studies.synthsaebench.scores import benchmark_scores

from synthsae import scores
from synthsae.arrays import Array
from synthsae.config import Config
from synthsae.plot.common import interval_of_each, interval_over_seeds, slices
from synthsae.plot.phrases import COSINE, SCORE, SHARE, Range, count, interval, number
from synthsae.plot.worlds import SEEDS
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import PRESETS


def finding(ds: xr.Dataset) -> str:
    """The scores at the k of the best F1, where EV is best, and stability at both."""
    sentences = []
    for label, part in slices(ds.sortby("k"), ("k", *SEEDS)):
        k = part.k.values
        f1, ev, p = (
            part[name].mean("seed").values
            for name in ("bench_f1", "explained_variance", "live_reappearance")
        )
        start = f"With {label}: " if label else ""
        if not np.isfinite(f1).any():
            sentences.append(f"{start}no F1 is known at any k.")
            continue
        at = part.isel(k=int(np.nanargmax(f1)))
        scores = ", ".join(
            f"{text} {interval(interval_of_each(at[name]), within=within)}"
            for name, text, within in SCORES
        )
        dead = count(at.bench_dead.mean(), "latent")
        sentences.append(
            f"{start}F1 is best at k = {int(at.k)} (true L0 {number(part.true_l0.mean(), '.1f')}), "
            f"with {scores}; there p_hat of live latents is "
            f"{interval(interval_over_seeds(at.live_reappearance))} and {dead} never fire."
            + _ends(k, ev, p)
        )
    return " ".join(sentences)


SCORES: tuple[tuple[str, str, Range], ...] = (
    ("bench_mcc", "MCC", COSINE),
    ("bench_precision", "precision", SHARE),
    ("bench_recall", "recall", SHARE),
    ("bench_f1", "F1", SHARE),
    ("bench_uniqueness", "uniqueness", SHARE),
    ("explained_variance", "EV", SCORE),
)
"""Variable, name and range of a score."""


def _ends(k: NDArray[Any], ev: Array, p: Array) -> str:
    """The k of the best EV and of the best and least p_hat; empty for one k."""
    if len(k) < 2 or not (np.isfinite(ev).any() and np.isfinite(p).any()):
        return ""
    return (
        f" EV is best at k = {k[np.nanargmax(ev)]}, p_hat at k = {k[np.nanargmax(p)]} "
        f"({np.nanmax(p):.2f}), and it is least at k = {k[np.nanargmin(p)]} ({np.nanmin(p):.2f})."
    )


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
