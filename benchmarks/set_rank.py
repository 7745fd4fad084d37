"""How well does the second moment of a set of latents tell the rank of its subspace?

    python benchmarks/set_rank.py [WORLD_SEED ...]

Trains eight SAEs on worlds of isolated features beside Gaussian blocks of rank 2 to 16, with equal
and unequal variances. A set is all latents with half of their energy in a span: that of a planted
block, or that of a cluster of latents that are not stable, as in `scores.cluster_ranks`. Three
estimates of the planted rank are compared:

- the second moment, 1 over the mean squared cosine of latents of different seeds (`set_rank`);
- the inverse law, the rank at which the coverage law gives the mean p_hat of the set;
- the rank of the cluster, a count of singular values.

Intervals at 95% are jackknives over seeds. The second moment has another one, which two seeds are
enough for: from the variance that random rotations give (`variance`). Prints the table of the
section "Rank of a set of latents" of `synthsae/metrics/README.md`.
"""

import sys

import numpy as np
from synthsae.studies.consensus.study import study

from synthsae import theory
from synthsae.config import override
from synthsae.metrics import groups, subspace
from synthsae.metrics.latent_rank import set_rank
from synthsae.metrics.reappearance import reappearance
from synthsae.scores.run import Run, run_cell
from synthsae.stats import jackknife_interval, row_interval

NUMBERS = (2, 4, 8)
"""Numbers of seeds: the first ones of each run."""
PLANTED = ((2, 1.0), (4, 1.0), (8, 1.0), (16, 1.0), (4, 10.0), (8, 10.0))
"""Rank of the blocks, and largest over smallest variance along their axes."""
STABLE, NORMAL = 0.95, 1.96
BASE = {"n_seeds": 8, "world.d_model": 96, "world.block_p": 0.15, "world.law": "gaussian"}
COLUMNS = (
    "sets, found, second moment 5% 50% 95%, jackknife holds it, rotation holds it, "
    "inverse law 5% 50% 95%, jackknife holds it, rank of the cluster 5% 50% 95%, exact"
)


def variance(scatter: np.ndarray, count: np.ndarray, span: np.ndarray) -> float:
    """Variance of the mean cos^2 if each seed's latents are rotated at random in `span` [D, R].

    Of two seeds it is 2 |A|^2 |B|^2 / ((R - 1) (R + 2)), with A the scatter in the span, less its
    multiple of the identity; pairs of seeds are uncorrelated.
    """
    r = span.shape[1]
    if r < 2:
        return 0.0
    inner = span.T @ scatter @ span
    turned = inner - np.trace(inner, axis1=1, axis2=2)[:, None, None] / r * np.eye(r)
    size = np.sum(turned**2, axis=(1, 2))
    both = size.sum() ** 2 - np.sum(size**2)  # ordered pairs of seeds
    pairs = count.sum() ** 2 - np.sum(count**2)
    return float(2 * 2 * both / ((r - 1) * (r + 2)) / pairs**2)


def estimates(d: np.ndarray, live: np.ndarray, p_hat: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Moment, both of its intervals, inverse law, its interval, and the rank of `span`, [9]."""
    inside = subspace.members(d, span, live)
    count = inside.sum(axis=1).astype(float)
    if (count == 0).any():
        return np.full(9, np.nan)
    each = [rows[here] for rows, here in zip(d, inside, strict=True)]
    scatter, seeds = np.array([x.T @ x for x in each]), np.arange(len(d))
    moment = set_rank(d, inside)
    error = NORMAL * variance(scatter, count, span) ** 0.5
    rotation = 1 / (1 / moment + error), 1 / max(1 / moment - error, 1e-9)
    rows = np.array([p[here].mean() for p, here in zip(p_hat, inside, strict=True)])
    middle, low, high = (float(np.clip(v, 0, 1)) for v in row_interval(rows))
    if len(d) == 2:
        law = [theory.implied_rank(middle, count.mean()).rank, np.nan, np.nan]
        ends = [np.nan, np.nan]
    else:
        law = list(theory.implied_rank(middle, count.mean(), interval=(low, high)))
        without = [np.log(set_rank(d[seeds != s], inside[seeds != s])) for s in seeds]
        ends = [np.exp(v) for v in jackknife_interval(np.log(moment), without)[1:]]
    return np.array([moment, *ends, *rotation, *law, span.shape[1]], dtype=float)


def sets(run: Run, n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Estimates of planted blocks, and of the cluster of each block, from the first `n` seeds."""
    d, live = run.directions[:n], run.live[:n]
    p_hat = reappearance(d, live=live)
    clusters = groups.groups(d[live & (p_hat < STABLE)], least=n)
    planted, found = [], []
    for basis in run.bases:
        planted.append(estimates(d, live, p_hat, basis))
        near = [np.sum((basis.T @ c.span) ** 2) / max(c.rank, basis.shape[1]) for c in clusters]
        if near and max(near) > 0.5:
            found.append(estimates(d, live, p_hat, clusters[int(np.argmax(near))].span))
    return planted, found


def row(values: list[np.ndarray], blocks: int, rank: int) -> str:
    """One row of the table."""
    if not values:
        return " | ".join(["0", "0.00", *["-"] * 7])
    v = np.array(values)

    def spread(at: int) -> str:
        return " ".join(f"{q:.2f}" for q in np.nanquantile(v[:, at], (0.05, 0.5, 0.95)))

    def holds(at: int) -> str:
        low, high = v[:, at], v[:, at + 1]
        known = np.isfinite(low)
        return f"{((low <= rank) & (rank <= high))[known].mean():.2f}" if known.any() else "-"

    exact = f"{(v[:, 8] == rank).mean():.2f}"
    parts = [str(len(v)), f"{len(v) / blocks:.2f}", spread(0), holds(1), holds(3)]
    return " | ".join([*parts, spread(5), holds(6), spread(8), exact])


def table(runs: list[Run], name: str, rank: int) -> None:
    """Print two rows for each number of seeds."""
    blocks = sum(len(run.bases) for run in runs)
    for n in NUMBERS:
        of_runs = [sets(run, n) for run in runs]
        for i, kind in enumerate(("planted", "clusters")):
            values = [one for both in of_runs for one in both[i]]
            print(f"| {name}, {n} seeds, {kind} | {row(values, blocks, rank)} |", flush=True)


def main(seeds: list[int]) -> None:
    """Print two rows for each rank, ratio of variances and number of seeds."""
    base = override(study.base, BASE)
    print(f"| worlds {', '.join(map(str, seeds))} | {COLUMNS.replace(', ', ' | ')} |")
    print("|---" * 10 + "|")
    for rank, ratio in PLANTED:
        change = {"world.rank": rank, "world.spectrum": ratio}
        runs = [run_cell(override(base, {**change, "world_seed": w})) for w in seeds]
        table(runs, f"rank {rank}, variances 1 : {ratio:g}", rank)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [50, 51])
