"""How often 95% intervals over seeds hold the truth: python benchmarks/interval_coverage.py

Scores of pairs of S simulated seeds with a known mean. The score of a pair is .3 plus what its two
seeds bring, plus noise of the pair. Prints the table of studies/STATISTICS.md, from 4,000 repeats
a cell.
"""

from collections.abc import Callable

import numpy as np

from synthsae.stats import Interval, mean_interval, pairwise_interval

SEEDS = (3, 4, 5, 8, 20)
REPEATS = 4000
Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, s: int) -> np.ndarray:
    """Seeds that are a little better or worse."""
    return rng.standard_normal(s)


def lognormal(rng: np.random.Generator, s: int) -> np.ndarray:
    """A skewed quality, centred."""
    return np.exp(rng.standard_normal(s)) - np.exp(0.5)


def one_bad(rng: np.random.Generator, s: int) -> np.ndarray:
    """One seed in ten has failed, centred."""
    return -10.0 * (rng.random(s) < 0.1) + 1.0 + 0.1 * rng.standard_normal(s)


def pairs(quality: Draw, rng: np.random.Generator, s: int) -> np.ndarray:
    """Scores of all pairs, [S, S], with mean .3."""
    a, e = quality(rng, s), rng.standard_normal((s, s))
    return 0.3 + 0.01 * (a[:, None] + a) + 0.01 * (e + e.T) / 2**0.5


def disjoint(x: np.ndarray) -> Interval:
    """t interval of the pairs (0, 1), (2, 3), ..., which share no seed."""
    first = np.arange(0, len(x) - 1, 2)
    return mean_interval(x[first, first + 1])


def coverage(quality: Draw, interval: Callable[[np.ndarray], Interval], s: int) -> str:
    """Share of the intervals that hold .3, to two digits; "-" where there is no interval."""
    rng = np.random.default_rng(s)
    ends = [interval(pairs(quality, rng, s)) for _ in range(REPEATS)]
    if not np.isfinite([e.low for e in ends]).all():
        return "-"
    return f"{np.mean([e.low <= 0.3 <= e.high for e in ends]):.2f}"


def main() -> None:
    """Print a row for each kind of seeds and interval."""
    print(f"| seeds differ | interval | {' | '.join(f'S = {s}' for s in SEEDS)} |")
    print("|---" * (2 + len(SEEDS)) + "|")
    for text, quality in (
        ("by a normal amount", normal),
        ("by a lognormal amount", lognormal),
        ("one in ten has failed", one_bad),
    ):
        for name, interval in (("jackknife", pairwise_interval), ("disjoint pairs", disjoint)):
            each = " | ".join(
                coverage(quality, interval, s) if s > 3 or name == "jackknife" else "-"
                for s in SEEDS
            )
            print(f"| {text} | {name} | {each} |", flush=True)


if __name__ == "__main__":
    main()
