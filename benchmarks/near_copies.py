"""Does `consensus` keep its level when near-copies are joined, and does it list their features?

    python benchmarks/near_copies.py [WORLD_SEED ...]

Trains eight SAEs on some kinds of world. *Split* SAEs are the same ones after three quarters of the
live latents of each, at random, have been replaced by two latents each with a cosine of .97. Each
row compares the 95% list with near-copies joined to the list without. A one-sided identity is wrong
if its cosine with every planted feature is below .9. A feature has copies if half of the SAEs or
more have two latents or more with a cosine of .9 or more with it.
"""

import sys

import numpy as np
from synthsae.studies.consensus.scores import true_features
from synthsae.studies.consensus.study import study

from synthsae.config import Config, override
from synthsae.geometry import unit
from synthsae.metrics.consensus import consensus
from synthsae.metrics.opposites import opposite_found
from synthsae.scores.run import run_cell

SAME = 0.9
SPLIT, COSINE = 0.75, 0.97
KINDS: dict[str, dict[str, object]] = {
    "isotropic": {},
    "variances 1 : 10": {"world.law": "gaussian", "world.spectrum": 10.0},
    "features lean into blocks": {"world.leaning": True},
    "few samples": {"train.n_steps": 100},
    "ReLU, latents to spare": {"sae.arch": "relu", "sae.n_latents": 96},
}
COLUMNS = "listed without, wrong, listed joined, wrong, have copies, listed without, listed joined"


def split(d: np.ndarray, live: np.ndarray, rng: np.random.Generator) -> tuple:
    """Directions [S, 2 M, D] and live latents of SAEs in which latents were split."""
    noise = rng.standard_normal((2, *d.shape))
    noise -= np.sum(noise * d, axis=-1, keepdims=True) * d
    two = unit(d + np.sqrt(1 / COSINE - 1) * unit(noise))
    chosen = live & (rng.random(live.shape) < SPLIT)
    first = np.where(chosen[..., None], two[0], d)
    return np.concatenate([first, two[1]], axis=1), np.concatenate([live, chosen], axis=1)


def counts(d: np.ndarray, live: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The numbers of `COLUMNS`, [7]."""
    near = [(x[on] @ features.T >= SAME).sum(axis=0) >= 2 for x, on in zip(d, live, strict=True)]
    copied = np.mean(near, axis=0) >= 0.5
    row, listed = [], []
    for same in (1.0, SAME):
        found = consensus(d, live, same=same)
        direction = found.identities.direction[found.identity_q <= 0.05]
        direction = direction[opposite_found(direction, d, live) < 0.5]
        right = direction @ features.T >= SAME
        row += [len(right), (~right.any(axis=1)).sum()]
        listed.append((right.any(axis=0) & copied).sum())
    return np.array([*row, copied.sum(), *listed])


def main(seeds: list[int]) -> None:
    """Print two rows for each kind of world, summed over the worlds `seeds`."""
    base = override(study.base, {"n_seeds": 8, "world.rank": 4, "world.block_p": 0.15})
    print(f"| worlds {', '.join(map(str, seeds))} | {COLUMNS.replace(', ', ' | ')} |")
    print("|---" * (2 + COLUMNS.count(",")) + "|")
    for name, changes in KINDS.items():
        whole, parts = np.zeros((2, 7), dtype=int)
        for w in seeds:
            config: Config = override(base, {**changes, "world_seed": w})
            run = run_cell(config)
            features = true_features(run)
            whole += counts(run.directions, run.live, features)
            apart = split(run.directions, run.live, np.random.default_rng(w))
            parts += counts(*apart, features)
        print(f"| {name} | {' | '.join(map(str, whole))} |")
        print(f"| {name}, split | {' | '.join(map(str, parts))} |", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [50, 51, 52])
