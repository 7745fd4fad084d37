"""How large a shared subspace could finding 2 have shown? Power of the excess of transfer.

    python benchmarks/transfer_power.py [REPEATS]     # 100 repeats: about half an hour

Eight simulated seeds of the sizes measured in `seed_stability`, without any training. In all seeds
the unstable latents come from one distribution of effective dimension .62 D, as Gerasimov et al.
report (.59 to .65), and the others from one of .805 D (.80 to .81). The paper does not say how the
two lie to each other, which decides the excess, so there are three arrangements and a control.
Power: share of simulations in which the 95% interval over seeds lies above 0. The last columns take
the spread of seeds that was measured instead of the simulated one.
"""

import sys

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, t

from synthsae.geometry import haar
from synthsae.metrics.transfer import matched_transfer
from synthsae.stats import row_interval

D, R, SEEDS, DRAWS = 64, 16, 8, 8
UNSTABLE, OTHER = 0.62 * D, 0.805 * D
CELLS = {
    "1, 128": (70, 58, 0.0087),
    "1, 512": (180, 332, 0.0048),
    "3, 128": (31, 97, 0.0127),
    "3, 512": (83, 429, 0.0086),
}
"""Layer and latents: unstable latents a seed, others, and the measured standard deviation of the
excess over seeds (9M tokens, means over seeds, 2026-11-27)."""
Scales = tuple[np.ndarray, np.ndarray]


def even(dimension: float) -> np.ndarray:
    """Standard deviations along the axes: equal in `dimension` of them (rounded), 0 elsewhere."""
    return (np.arange(D) < round(dimension)).astype(float)


def geometric(dimension: float) -> np.ndarray:
    """Standard deviations that fall geometrically, with an effective rank of `dimension`."""

    def spread(log: float) -> np.ndarray:
        return np.exp(-log * np.arange(D))

    def gap(log: float) -> float:
        p = spread(log) / spread(log).sum()
        return float(np.exp(-(p * np.log(p)).sum())) - dimension

    return spread(brentq(gap, 1e-6, 1.0))


def draw(scale: np.ndarray, axes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Unit directions of every seed, [SEEDS, n, D]."""
    x = rng.standard_normal((SEEDS, n, D)) * scale @ axes
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def simulated(cell: tuple, scales: Scales, turned: bool, rng: np.random.Generator) -> np.ndarray:
    """Transfer at R of n unstable latents and of n others, n the smaller number, [2, SEEDS]."""
    axes = haar(D, rng)
    n = min(cell[:2])
    unstable = draw(scales[0], axes, cell[0], rng)
    other = draw(scales[1], haar(D, rng) if turned else axes, cell[1], rng)
    values = np.empty((2, SEEDS))
    for s in range(SEEDS):
        target = unstable[np.arange(SEEDS) != s].reshape(-1, D)
        for i, rows in enumerate((unstable[s], other[s])):
            values[i, s] = matched_transfer(rows, target, n, rng, DRAWS)[:, R].mean()
    return values


def power(effect: float, sd: float) -> float:
    """Power of `row_interval` for normal seeds of this standard deviation."""
    wide = 2 * (SEEDS - 1) / (SEEDS - 2) * t.ppf(0.975, SEEDS - 1)
    return float(nct.sf(wide, SEEDS - 1, effect * SEEDS**0.5 / sd))


def main(repeats: int) -> None:
    """Print a row for each cell and arrangement."""
    arrangements = {
        "even, turned apart": (even(UNSTABLE), even(OTHER), True),
        "even, one inside the other": (even(UNSTABLE), even(OTHER), False),
        "geometric, same axes": (geometric(UNSTABLE), geometric(OTHER), False),
        "control: no difference": (even(OTHER), even(OTHER), False),
    }
    print(
        "| layer, latents | arrangement | others' transfer | excess | power | at measured spread |"
    )
    print("|---" * 6 + "|")
    for at, cell in CELLS.items():
        for name, (*scales, turned) in arrangements.items():
            rng = np.random.default_rng(0)
            runs = [simulated(cell, tuple(scales), turned, rng) for _ in range(repeats)]
            gains = np.array([own - other for own, other in runs])
            low = np.array([row_interval(gain).low for gain in gains])
            effect, null = gains.mean(), np.mean([other for _, other in runs])
            theory = power(effect, cell[2])
            text = f"{null:.3f} | {effect:.3f} | {(low > 0).mean():.2f} | {theory:.2f}"
            print(f"| {at} | {name} | {text} |", flush=True)
        least = brentq(lambda e, sd=cell[2]: power(e, sd) - 0.8, 0, 20 * cell[2])
        print(f"| {at} | smallest excess seen with power .80 | - | {least:.3f} | - | .80 |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
