"""Does the dimension of deviations tell noise from free rotation, on planted worlds?

    python benchmarks/deviation.py [WORLD_SEED ...]

Trains 20 SAEs on each kind of world and looks at latents of p_hat .95 or more, in blocks and
outside. *Called noise*: their counterparts deviate in more than `LIMIT` dimensions, which free
rotation in a subspace of four dimensions or fewer cannot do. In larger subspaces hardly a latent is
that stable. Each row is summed over the worlds; the first 8 of the 20 SAEs are scored alone too.
"""

import sys
from collections.abc import Iterator

import numpy as np
from synthsae.studies.consensus.study import study

from synthsae.config import Config, override
from synthsae.metrics import reappearance
from synthsae.metrics.counterparts import counterparts
from synthsae.metrics.deviation import deviation_dimensions
from synthsae.scores.run import Run, run_cell

LIMIT = 3.5
"""Between 3, the most that free rotation in four dimensions leaves, and what noise gives."""
STABLE, INSIDE, OUTSIDE = 0.95, 0.9, 0.1
KINDS: dict[str, dict[str, object]] = {
    "rank 2": {"world.rank": 2},
    "rank 3": {"world.rank": 3},
    "rank 4": {"world.rank": 4},
    "rank 4, a quarter of the steps": {"world.rank": 4, "train.n_steps": 100},
    "rank 4, variances 1 : 3": {"world.rank": 4, "world.law": "gaussian", "world.spectrum": 3.0},
    "rank 4, noise .1": {"world.rank": 4, "world.noise": 0.1},
}
COLUMNS = ("SAEs", "stable block latents", "called noise", "deviation 5% 50% 95%")
COLUMNS += ("stable others", "called noise", "median cosine", "deviation 5% 50% 95%")


def stable(run: Run, n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Deviations and median cosines of stable latents of the first n SAEs: in blocks, outside."""
    d, live = run.directions[:n], run.live[:n]
    near = counterparts(d, live)
    deviation = deviation_dimensions(d, near)
    p_hat = reappearance.reappearance(d, live=live)
    cosine = np.nanmedian(np.where(np.isnan(near.cosine), np.nan, near.cosine), axis=1)
    energy = sum(np.square(d @ basis).sum(axis=2) for basis in run.bases)
    for chosen in (energy >= INSIDE, energy <= OUTSIDE):
        kept = chosen & (p_hat >= STABLE) & np.isfinite(deviation)
        yield deviation[kept], cosine[kept]


def quantiles(x: np.ndarray) -> str:
    """5%, 50% and 95% of `x`, as text."""
    return " ".join(f"{v:.1f}" for v in np.quantile(x, [0.05, 0.5, 0.95])) if len(x) else "-"


def main(seeds: list[int]) -> None:
    """Print two rows for each kind of world, over the worlds `seeds`."""
    base = override(study.base, {"n_seeds": 20, "world.block_p": 0.15})
    print(f"| worlds {', '.join(map(str, seeds))} | {' | '.join(COLUMNS)} |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for name, changes in KINDS.items():
        runs = []
        for w in seeds:
            config: Config = override(base, {**changes, "world_seed": w})
            runs.append(run_cell(config))
        for n in (8, 20):
            parts = [list(stable(run, n)) for run in runs]
            (block, _), (other, cosine) = (
                [np.concatenate(x) for x in zip(*each, strict=True)]
                for each in zip(*parts, strict=True)
            )
            median = f"{np.median(cosine):.3f}" if len(cosine) else "-"
            cells = [n, len(block), (block > LIMIT).sum(), quantiles(block)]
            cells += [len(other), (other > LIMIT).sum(), median, quantiles(other)]
            print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [60, 61, 62])
