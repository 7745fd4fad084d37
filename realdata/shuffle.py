"""A permutation of n rows that is a function of a key and takes no memory.

A generalised Feistel network on pairs (l, r) with n <= a^2, a = ceil(sqrt n): a round maps (l, r)
to (r, l + F(r) mod a), which is a bijection whatever F is; points that land beyond n walk on until
they are back (Black & Rogaway, Ciphers with arbitrary finite domains, 2002).
"""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from synthsae.rng import sequence

ROUNDS = 6
"""Four make a pseudo-random permutation of a pseudo-random F (Luby & Rackoff); two to spare."""


def rows(n: int, start: int, size: int, *, seed: int, stream: str) -> NDArray[np.int64]:
    """Elements start .. start + size - 1 of an endless run of epochs, [size].

    Each epoch is all of 0 .. n - 1 once, in an order of its own.
    """
    at = np.arange(start, start + size)
    out = np.empty(size, np.int64)
    for epoch in range(start // n, (start + size - 1) // n + 1):
        inside = at // n == epoch
        keys = sequence(stream, seed, epoch).generate_state(ROUNDS, np.uint64).astype(np.uint64)
        out[inside] = permute(at[inside] - epoch * n, n, keys)
    return out


def permute(at: NDArray[np.int64], n: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where the permutation of 0 .. n - 1 that `keys` [rounds] choose takes the places `at`."""
    side = isqrt(n - 1) + 1
    out = _network(at, side, keys)
    while (beyond := out >= n).any():
        out[beyond] = _network(out[beyond], side, keys)
    return out


def _network(at: NDArray[np.int64], side: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    left, right = np.divmod(at.astype(np.uint64), np.uint64(side))
    for key in keys:
        left, right = right, (left + _mix(right ^ key) % np.uint64(side)) % np.uint64(side)
    return (left * np.uint64(side) + right).astype(np.int64)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
