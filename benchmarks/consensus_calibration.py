"""Do the lists of `consensus` keep their level on kinds of world that its rules were not made on?

    python benchmarks/consensus_calibration.py [WORLD_SEED ...] [KIND ...]

Trains eight SAEs on every kind of world and counts wrong entries of the 95% lists. An identity is
wrong if its cosine with every planted feature is below .9; the axes of Laplace blocks count as
features, and nothing on an arc does. A subspace is wrong if less than .9 of its directions' energy
lies in one block or in the plane of one circle; its rank is counted apart. Gaussian blocks that
share a gate are one block. Prints the table of the page of the study `consensus`, and that of the
section "Joined blocks and arcs" of `synthsae/metrics/README.md`.
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
ARCS: dict[str, object] = {"world.n_circles": 4, "world.circle_p": 0.15, "world.circle_arc": 0.25}
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
    "blocks overlap at 60 degrees": {"world.block_angle": 60.0},
    "blocks overlap at 30 degrees": {"world.block_angle": 30.0},
    "shared gates": {"world.blocks_per_gate": 2},
    "shared gates, Gaussian": GAUSSIAN | {"world.blocks_per_gate": 2},
    "arcs": ARCS,
    "dense arcs": ARCS | {"world.circle_density": 10.0},
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
    planted = _subspaces(run)
    energy = np.array([[np.sum((u.T @ span) ** 2) for u in planted] for span in spans])
    energy = energy.reshape(len(spans), len(planted))
    inside = energy.max(axis=1) >= RIGHT * ranks
    low, high = found.subspace_rank_low, found.subspace_rank_high
    rank = np.array([u.shape[1] for u in planted])[energy.argmax(axis=1)]
    return np.array(
        [
            *(claimed.sum(), (claimed & ~right).sum()),
            *((~claimed).sum(), (~claimed & ~right).sum()),
            *(len(spans), (~inside).sum()),
            *((inside & (high < rank).values).sum(), (inside & (low > rank).values).sum()),
        ]
    )


def _subspaces(run: Run) -> list[np.ndarray]:
    """Planted blocks and planes of circles, [D, R] each; Gaussian blocks of a gate are one."""
    world = run.config.world
    together = world.blocks_per_gate if world.law == "gaussian" else 1
    pairs = run.bases.reshape(-1, together, *run.bases.shape[1:])
    return [*(np.hstack(list(blocks)) for blocks in pairs), *run.world.planes]


def _features(run: Run) -> np.ndarray:
    """Planted features, and both ends of the axes of Laplace blocks, [n, D]."""
    features = true_features(run)
    if run.config.world.law != "generalised_normal":
        return features
    axes = run.bases.transpose(0, 2, 1).reshape(-1, run.d_model)
    return np.concatenate([features, axes, -axes])


def main(seeds: list[int], kinds: list[str]) -> None:
    """Print a row for each of the `kinds` of world, summed over the worlds `seeds`."""
    base = override(study.base, {"n_seeds": 8, "world.rank": 4, "world.block_p": 0.15})
    print(f"| worlds {', '.join(map(str, seeds))} | {COLUMNS.replace(', ', ' | ')} |")
    print("|---" * (1 + COLUMNS.count(",") + 1) + "|")
    for name in kinds:
        total = sum(counts(override(base, {**KINDS[name], "world_seed": w})) for w in seeds)
        print(f"| {name} | {' | '.join(map(str, total))} |", flush=True)


if __name__ == "__main__":
    worlds = [int(text) for text in sys.argv[1:] if text.isdigit()]
    main(worlds or [20, 21, 22], [text for text in sys.argv[1:] if text in KINDS] or list(KINDS))
