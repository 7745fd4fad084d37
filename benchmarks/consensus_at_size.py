"""Seconds (clock, CPU), peak memory and lists of `consensus` on made-up SAEs of real size.

    python benchmarks/consensus_at_size.py KIND SEEDS LATENTS DIMENSIONS

Each kind plants features that all seeds share, near-copies of a few of them, subspaces of rank 4 to
16 in which each seed has a code of its own, and latents that no other seed has:

- `planted`: 1/8 of the latents are shared, 1/4 lie in subspaces, and the rest is isotropic.
- `trained`: 1/2 of the latents are shared, 1/4 lie in subspaces; shared latents and the rest are
  drawn with the variances 1, 1/2, 1/3, ..., as latents of language models are.
"""

import resource
import sys
import time

import numpy as np

import synthsae
from synthsae.geometry import haar, unit

SPREAD = 0.1
"""Norm of the difference between a seed's latent and the shared direction."""
COPIES = 0.02
"""Share of the shared features of which each seed has one more latent."""
SHARED = {"planted": 1 / 8, "trained": 1 / 2}
BLOCKS = 1 / 4


def made(
    kind: str, s: int, m: int, d: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Directions [S, M, D], shared features [n, D] and bases of subspaces, each [D, R]."""
    scale = np.ones(d) if kind == "planted" else np.arange(1, d + 1) ** -0.5
    n = round(SHARED[kind] * m)
    features = unit(rng.standard_normal((n, d)) * scale)
    bases, total = [], 0
    while total < BLOCKS * m:
        bases.append(_basis(d, rng))
        total += 2 * bases[-1].shape[1]
    twice = features[: round(COPIES * n)]
    seeds = []
    for _ in range(s):
        near = [_near(features, rng), _near(twice, rng)]
        turned = [haar(u.shape[1], rng) @ u.T for u in bases]
        blocks = [np.concatenate([t, -t]) for t in turned]
        rest = m - sum(map(len, near)) - sum(map(len, blocks))
        lone = unit(rng.standard_normal((max(0, rest), d)) * scale)
        rows = np.concatenate([*near, _near(np.concatenate(blocks), rng), lone])[:m]
        seeds.append(rng.permutation(rows))
    return np.array(seeds), features, bases


def _basis(d: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal basis of a random subspace of rank 4, 8 or 16, [D, R]."""
    return np.linalg.qr(rng.standard_normal((d, rng.choice([4, 8, 16]))))[0]


def _near(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit rows of x [n, D] with noise of norm `SPREAD`."""
    return unit(x + SPREAD / np.sqrt(x.shape[1]) * rng.standard_normal(x.shape))


def main(kind: str, s: int, m: int, d: int) -> None:
    """Print one row of a table."""
    x, features, bases = made(kind, s, m, d, np.random.default_rng(0))
    start, cpu = time.perf_counter(), time.process_time()
    found = synthsae.consensus(x)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    right = (found.identity_direction.values @ features.T).max(axis=1, initial=0) > 0.9
    spans = [
        u[:r] for u, r in zip(found.subspace_basis.values, found.subspace_rank.values, strict=True)
    ]
    inside = [max(np.sum((u @ b) ** 2) / len(u) for b in bases) > 0.9 for u in spans]
    print(
        f"{kind} {s} x {m} x {d}: {seconds:.0f} s ({cpu:.0f} s of CPU), peak {peak:.1f} GB; ",
        end="",
    )
    print(f"{right.sum()} of {len(features)} features, {(~right).sum()} wrong; ", end="")
    print(f"{sum(inside)} of {len(bases)} subspaces, {len(inside) - sum(inside)} wrong")
    counts = np.bincount(found.latent_verdict.values.ravel())
    names = found.latent_verdict.attrs["flag_meanings"].split()
    print(", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=False) if c), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
