"""Does the rank of one latent tell features from latents that are free to turn? Beside p_hat.

    python benchmarks/latent_rank.py [WORLD_SEED ...]
    python benchmarks/latent_rank.py STACK.safetensors ...     # trained SAEs, beside a null

Trains eight SAEs on worlds of isolated features beside blocks of rank 2 to 16, and on blocks of
unequal variances. A latent is called a feature if its rank is below 1.5, or if p_hat is .95 or
more. Each row gives the shares of block latents that are called features, of features that are
missed, and of intervals that hold the planted rank.

Of trained SAEs, such as those in `results/trainings` of `seed_stability`, a row gives the median
rank of unstable latents (p_hat of .05 or less), and the same after each SAE has been rotated at
random: the null, in which seeds share nothing.
"""

import sys
from pathlib import Path

import numpy as np
from synthsae.studies.consensus.study import study

from synthsae.config import Config, override
from synthsae.geometry import haar
from synthsae.metrics.latent_rank import latent_rank
from synthsae.metrics.reappearance import reappearance
from synthsae.metrics.subspace import members
from synthsae.sae import SAEStack
from synthsae.scores.run import Run, run_cell

FEATURE = 1.5
STABLE, UNSTABLE = 0.95, 0.05
SAME = 0.9
NUMBERS = (2, 4, 8)
"""Numbers of seeds: the first ones of each run."""
BASE = {"n_seeds": 8, "world.d_model": 96, "world.block_p": 0.15, "world.law": "gaussian"}
COLUMNS = (
    "seeds, rank 5% 50% 95%, in its interval, "
    "called features by rank, by p_hat, features missed by rank, by p_hat"
)


def row(runs: list[Run], n: int) -> str:
    """One row of the table from the first `n` seeds of every world."""
    parts = [_latents(run, n) for run in runs]
    block, feature = (
        {key: np.concatenate([p[i][key] for p in parts]) for key in parts[0][i]} for i in (0, 1)
    )
    true = runs[0].config.world.rank
    inside = (block["low"] <= true) & (true <= block["high"])
    called = [(v["rank"] < FEATURE, v["p_hat"] >= STABLE) for v in (block, feature)]
    shares = [m.mean() for m in called[0]] + [1 - m.mean() for m in called[1]]
    middle = " ".join(f"{v:.1f}" for v in np.quantile(block["rank"], (0.05, 0.5, 0.95)))
    covered = "-" if n == 2 else f"{inside.mean():.2f}"
    return " | ".join([f"{n}", middle, covered, *(f"{v:.3f}" for v in shares)])


def _latents(run: Run, n: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values of latents in blocks, and of those at an isolated feature."""
    d, live = run.directions[:n], run.live[:n]
    values = latent_rank(d, live)._asdict() | {"p_hat": reappearance(d, live=live)}
    inside = np.any([[members(x, u) for x in d] for u in run.bases], axis=0) & live
    near = (d @ run.world.features.T >= SAME).any(axis=2) & live
    found = ({key: v[which] for key, v in values.items()} for which in (inside, near))
    return next(found), next(found)


def beside_rotated(path: str) -> str:
    """A row for one stack: seeds, latents, D, the median rank of unstable latents, and its null."""
    d = SAEStack.load(path).params["w_dec"].double().numpy()
    unstable = reappearance(d) <= UNSTABLE
    turned = d @ haar(d.shape[2], np.random.default_rng(0), (len(d),))
    medians = (np.median(latent_rank(x).rank[unstable]) for x in (d, turned))
    return " | ".join([Path(path).stem, *map(str, d.shape), *(f"{m:.1f}" for m in medians)])


def main(seeds: list[int]) -> None:
    """Print a row for each kind of world and number of seeds, over the worlds `seeds`."""
    base = override(study.base, BASE)
    print(f"| worlds {', '.join(map(str, seeds))} | {COLUMNS.replace(', ', ' | ')} |")
    print("|---" * 8 + "|")
    for rank, ratio in ((2, 1.0), (3, 1.0), (4, 1.0), (8, 1.0), (16, 1.0), (4, 10.0), (8, 10.0)):
        change = {"world.rank": rank, "world.spectrum": ratio}
        configs: list[Config] = [override(base, {**change, "world_seed": w}) for w in seeds]
        runs = [run_cell(config) for config in configs]
        for n in NUMBERS:
            print(f"| rank {rank}, variances 1 : {ratio:g} | {row(runs, n)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].endswith(".safetensors"):
        print("| SAEs | seeds | latents | D | unstable, median | rotated |")
        print("|---" * 6 + "|")
        for path in sys.argv[1:]:
            print(f"| {beside_rotated(path)} |", flush=True)
    else:
        main([int(text) for text in sys.argv[1:]] or [30, 31, 32])
