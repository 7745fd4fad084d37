"""The scores of SynthSAEBench (arXiv 2602.14687), by SAELens' definitions (sae-lens 6.54)."""

import numpy as np
import torch
import xarray as xr

from synthsae.arrays import Array
from synthsae.evaluation import held_out
from synthsae.metrics import latent, planted
from synthsae.metrics.detection import Detection
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled


@requires("stack", "features")
def benchmark_scores(run: Run) -> xr.Dataset:
    """MCC, uniqueness, precision, recall, F1, accuracy, shrinkage and dead latents.

    As published: over *all* latents, dead ones too (they have precision, recall and F1 0), cosines
    absolute, each latent judged against its nearest feature, and MCC over the min(M, F) pairs.
    """
    features = run.world.features
    nearest = [planted.nearest_features(d, features, absolute=True) for d in run.directions]
    detection, shrinkage, true_l0 = detections(run, np.array(nearest))
    scores = {
        "bench_precision": (detection.precision, "precision"),
        "bench_recall": (detection.recall, "recall"),
        "bench_f1": (detection.f1, "F1"),
        "bench_accuracy": (detection.accuracy, "accuracy"),
    }
    text = "of latents as detectors of their nearest features, mean over all"
    fired = detection.true_positive + detection.false_positive
    pairs = [latent.matched_cosines(d, features, absolute=True) for d in run.directions]
    return labelled(
        run,
        **{n: (("seed",), v.mean(axis=1), f"{t} {text}") for n, (v, t) in scores.items()},
        bench_mcc=(
            ("seed",),
            np.array([cosine.mean() for cosine in pairs]),
            "MCC: mean absolute one-to-one cosine with planted features, over the pairs",
        ),
        bench_uniqueness=(
            ("seed",),
            np.array([planted.uniqueness(d, features, absolute=True) for d in run.directions]),
            "distinct nearest features over the number of latents",
        ),
        bench_shrinkage=(("seed",), shrinkage, "mean of ||x_hat|| / ||x||"),
        bench_dead=(("seed",), (fired == 0).sum(axis=1), "latents that never fire", "latents"),
        true_l0=((), true_l0, "planted features that fire, a sample", "features"),
    )


def detections(run: Run, nearest: np.ndarray) -> tuple[Detection, Array, float]:
    """Detection of the `nearest` features [S, M], shrinkage [S], and the true L0."""
    stack, params, n = run.saes, run.saes.params, run.config.eval_samples
    index = torch.tensor(nearest, device=params["w_dec"].device)
    counts = torch.zeros(3, *nearest.shape, dtype=torch.float64)
    ratio, norms, active = np.zeros(len(nearest)), 0, 0
    for held in held_out(run.world, n, stack=stack):
        on = held.rows_of(run.world.magnitudes, device=index.device) > 0
        size = held.x.norm(dim=1)
        kept = size > 1e-6
        for s, z in enumerate(stack.encode(held.x).dense(nearest.shape[1])):
            fires, planted_fires = z != 0, on[:, index[s]]
            both = fires & planted_fires
            counts[:, s] += torch.stack([v.sum(0) for v in (both, fires, planted_fires)]).cpu()
            x_hat = z @ params["w_dec"][s] + params["b_dec"][s]
            ratio[s] += float((x_hat.norm(dim=1) / size)[kept].double().sum())
        norms, active = norms + int(kept.sum()), active + int(on.sum())
    both, fires, planted_fires = counts.numpy()
    found = Detection(both, fires - both, planted_fires - both, n - fires - planted_fires + both)
    return found, ratio / max(1, norms), active / n
