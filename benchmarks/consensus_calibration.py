"""Do the lists of `consensus` keep their level on kinds of world that its rules were not made on?

    python benchmarks/consensus_calibration.py [WORLD_SEED ...]

Trains eight SAEs on every kind of world and counts wrong entries of the 95% lists. An identity is
wrong if its cosine with every planted feature is below .9; the axes of Laplace blocks count as
features. A subspace is wrong if less than .9 of its directions' energy lies in one block; its rank
is counted apart. Prints the table of the page of the study `consensus`.
"""

import sys
from collections.abc import Mapping

import numpy as np
from synthsae.studies.consensus.scores import true_features
from synthsae.studies.consensus.study import study

import synthsae
from synthsae.config import Config, override
from synthsae.scores.run import Run, run_cell

RIGHT = 0.9
SAMPLES = 16_384
"""Activations for the test of two-sided identities."""
GAUSSIAN: dict[str, object] = {"world.law": "gaussian"}
KINDS: dict[str, Mapping[str, object]] = {
    "isotropic": {},
    "variances 1 : 3": GAUSSIAN | {"world.spectrum": 3.0},
    "variances 1 : 10": GAUSSIAN | {"world.spectrum": 10.0},
    "variances 1 : 10, 4 x steps": GAUSSIAN | {"world.spectrum": 10.0, "train.n_steps": 1600},
    "variances 1 : 30": GAUSSIAN | {"world.spectrum": 30.0},
    "variances 1 : 30, rank 8": GAUSSIAN | {"world.spectrum": 30.0, "world.rank": 8},
    "sparse atoms, 4 in rank 4": {"world.law": "sparse"},
    "sparse atoms, 6 in rank 4": {"world.law": "sparse", "world.n_atoms": 6},
    "Laplace axes": {"world.law": "generalised_normal", "world.beta": 1.0},
    "correlated features": {"world.correlation": 0.3},
    "features lean into blocks": {"world.leaning": True},
    "few samples": {"train.n_steps": 100},
}
COLUMNS = (
    "features claimed, wrong, not claimed, no feature, subspaces, wrong, rank too low, too high"
)


def counts(config: Config) -> np.ndarray:
    """The numbers of `COLUMNS` of one world, [8]."""
    run = run_cell(config)
    # worlds of one law have the same codes, turned: each needs samples of its own
    x = run.world.batch(0, SAMPLES, seed=config.world_seed, stream="eval")
    found = synthsae.consensus(run.directions, run.live, activations=x, level=0.95)
    right = (found.identity_direction.values @ _features(run).T >= RIGHT).any(axis=1)
    claimed = found.identity_claimed.values
    ranks = found.subspace_rank.values
    spans = [basis[:r].T for basis, r in zip(found.subspace_basis.values, ranks, strict=True)]
    share = [max(np.sum((u.T @ span) ** 2) for u in run.bases) / span.shape[1] for span in spans]
    inside = np.array(share) >= RIGHT
    low, high, rank = found.subspace_rank_low, found.subspace_rank_high, config.world.rank
    return np.array(
        [
            *(claimed.sum(), (claimed & ~right).sum()),
            *((~claimed).sum(), (~claimed & ~right).sum()),
            *(len(spans), (~inside).sum()),
            *((inside & (high < rank).values).sum(), (inside & (low > rank).values).sum()),
        ]
    )


def _features(run: Run) -> np.ndarray:
    """Planted features, and both ends of the axes of Laplace blocks, [n, D]."""
    features = true_features(run)
    if run.config.world.law != "generalised_normal":
        return features
    axes = run.bases.transpose(0, 2, 1).reshape(-1, run.d_model)
    return np.concatenate([features, axes, -axes])


def main(seeds: list[int]) -> None:
    """Print a row for each kind of world, summed over the worlds `seeds`."""
    base = override(study.base, {"n_seeds": 8, "world.rank": 4, "world.block_p": 0.15})
    print(f"| worlds {', '.join(map(str, seeds))} | {COLUMNS.replace(', ', ' | ')} |")
    print("|---" * (1 + COLUMNS.count(",") + 1) + "|")
    for name, changes in KINDS.items():
        total = sum(counts(override(base, {**changes, "world_seed": w})) for w in seeds)
        print(f"| {name} | {' | '.join(map(str, total))} |", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [20, 21, 22])
