"""Our generator beside SAELens': python benchmarks/worlds.py PYTHON [PRESET ...]

PYTHON is an interpreter with sae-lens 6.54; each side runs in a process of its own, on as many
threads as OMP_NUM_THREADS says. Both plant SynthSAEBench (2602.14687) with a seed of their own, so
the two columns are two worlds of one law, not one world: rates and counts must agree, and what is
drawn once per world (loadings, standard deviations, directions) only about. Rates are per sample,
magnitudes per firing. `pair` is the correlation of the firing of two roots, `cosine` is between
directions (of 2,048 with all), `samples/s` is the best of 7 batches of 1,024.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

SIZES = {
    "synthsaebench_1k": (1024, 192, 8, 0.0135),
    "synthsaebench_16k": (16384, 768, 128, 5e-4),
}
"""Features, dimensions, trees and least probability of a preset, which SAELens is given too."""
BRANCHING, DEPTH = 4, 3
BATCH, SAMPLES, REPEATS = 1024, 65536, 7


def ours(name: str) -> tuple[Any, Callable[[int], torch.Tensor], Callable[[int], tuple]]:
    """World, batch t and the (row, feature, magnitude) of batch t."""
    from synthsae.rng import torch_generator
    from synthsae.world import PRESETS, World

    world = World.plant(PRESETS[name], seed=0)
    sampler = world.sampler(torch.device("cpu"))

    def fired(t: int) -> tuple:
        g = torch_generator("data", 0, t)
        return sampler.fire(*sampler.gates.fired(BATCH, g), BATCH, g)

    truth = world.isolated, np.linalg.norm(world.bias)
    return truth, lambda t: world.batch(t, BATCH, seed=0), fired


def theirs(name: str) -> tuple[Any, Callable[[int], torch.Tensor], Callable[[int], tuple]]:
    """The same of SAELens."""
    from sae_lens import synthetic as s

    n, d, trees, least = SIZES[name]
    config = s.SyntheticModelConfig(
        num_features=n,
        hidden_dim=d,
        firing_probability=s.ZipfianFiringProbabilityConfig(
            exponent=0.5, max_prob=0.4, min_prob=least
        ),
        hierarchy=s.HierarchyConfig(
            total_root_nodes=trees,
            branching_factor=BRANCHING,
            max_depth=DEPTH,
            mutually_exclusive_portion=1.0,
            compensate_probabilities=True,
            scale_children_by_parent=True,
        ),
        # 100 steps in the benchmark; at 16k one is over 1 TFLOP, so they are left out here
        orthogonalization=s.OrthogonalizationConfig(num_steps=100, lr=3e-4) if n < 4096 else None,
        correlation=s.LowRankCorrelationConfig(rank=25, correlation_scale=0.1),
        mean_firing_magnitudes=s.LinearMagnitudeConfig(start=5.0, end=4.0),
        std_firing_magnitudes=s.FoldedNormalMagnitudeConfig(mean=0.5, std=0.5),
        bias=0.5,
        seed=0,
    )
    model = s.SyntheticModel(config)

    def fired(t: int) -> tuple:
        with torch.random.fork_rng():  # SAELens draws from PyTorch's global generator alone
            torch.default_generator.manual_seed(t)
            a = model.activation_generator.sample(BATCH)
        row, feature = a.nonzero(as_tuple=True)
        return row, feature, a[row, feature]

    bias = float(model.feature_dict.bias.norm())
    truth = model.feature_dict.feature_vectors.detach().double().numpy(), bias
    return truth, lambda t: model.sample(BATCH), fired


def statistics(name: str, make: Callable) -> dict[str, float]:
    """What the two sides are compared by."""
    n, _, trees, _ = SIZES[name]
    nodes = trees * sum(BRANCHING**i for i in range(DEPTH + 1))
    parent = np.r_[np.full(trees, -1), np.arange(nodes - trees) // BRANCHING]
    began = time.perf_counter()
    (directions, bias), batch, fired = make(name)
    made = time.perf_counter() - began
    count, first, second = np.zeros((3, n))
    together, orphans, twins, l0 = np.zeros((trees, trees)), 0, 0, []
    for t in range(SAMPLES // BATCH):
        row, feature, value = (x.numpy() for x in fired(t))
        on = np.zeros((BATCH, n), dtype=bool)
        on[row, feature] = True
        l0.append(on.sum(axis=1))
        count += on.sum(axis=0)
        first += np.bincount(feature, value, n)
        second += np.bincount(feature, value.astype(float) ** 2, n)
        together += on[:, :trees].T.astype(float) @ on[:, :trees]
        below = on[:, trees:nodes]
        orphans += int((below & ~on[:, parent[trees:]]).sum())
        twins += int((below.reshape(BATCH, -1, BRANCHING).sum(axis=2) > 1).sum())
    rate, p = count / SAMPLES, count[:trees] / SAMPLES
    pair = (together / SAMPLES - np.outer(p, p)) / np.sqrt(np.outer(p * (1 - p), p * (1 - p)))
    pair = pair[~np.eye(trees, dtype=bool)]
    cosine = directions[:2048] @ directions.T
    cosine[np.arange(len(cosine)), np.arange(len(cosine))] = 0
    out = {"L0 mean": np.mean(l0), "L0 sd": np.std(l0)}
    for level in range(DEPTH + 1):
        start, end = (trees * (BRANCHING**i - 1) // (BRANCHING - 1) for i in (level, level + 1))
        which, label = slice(start, end), f"level {level}"
        out[f"{label} rate"] = rate[which].mean()
        if level:
            out[f"{label} given parent"] = count[which].sum() / count[parent[which]].sum()
        total = count[which].sum()
        out[f"{label} magnitude"] = first[which].sum() / total
        out[f"{label} magnitude sd"] = (
            second[which].sum() / total - out[f"{label} magnitude"] ** 2
        ) ** 0.5
    out |= {
        "no tree rate": rate[nodes:].mean(),
        "first rate": rate[0],
        "last rate": rate[-64:].mean(),
    }
    out |= {"child without parent": orphans, "exclusive pairs": twins}
    out |= {"pair sd": pair.std(), "pair mean": pair.mean()}
    out |= {"cosine rms": np.sqrt(np.mean(cosine**2)), "cosine max": np.abs(cosine).max()}
    out |= {"bias norm": bias, "mean norm^2": np.mean([float(batch(0).square().sum(1).mean())])}
    seconds = []
    for t in range(1, REPEATS + 1):
        began = time.perf_counter()
        batch(t)
        seconds.append(time.perf_counter() - began)
    out |= {"plant s": made, "samples/s": BATCH / min(seconds)}
    return {key: float(value) for key, value in out.items()}


if __name__ == "__main__":
    if sys.argv[1] == "--theirs":
        print(json.dumps(statistics(sys.argv[2], theirs)))
    else:
        for preset in sys.argv[2:] or SIZES:
            left = statistics(preset, ours)
            command = [sys.argv[1], __file__, "--theirs", preset]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            right = json.loads(run.stdout.splitlines()[-1])
            print(f"\n{preset}\n\n| | ours | SAELens |\n|---|---|---|")
            for key in left:
                print(f"| {key} | {left[key]:.4g} | {right[key]:.4g} |", flush=True)
