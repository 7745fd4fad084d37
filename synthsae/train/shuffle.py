"""A permutation of n rows that is computed from a key and is never stored.

Method: a generalised Feistel network on pairs (l, r) of numbers below a = ceil(sqrt n). A round
maps (l, r) to (r, l + F(r) mod a), a bijection for every F. The network is applied again to
points that it maps to n or beyond (Black & Rogaway, Ciphers with arbitrary finite domains, 2002).
"""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from synthsae.rng import sequence

ROUNDS = 6
"""Four rounds of a pseudo-random F give a pseudo-random permutation (Luby & Rackoff 1988)."""


def rows(n: int, start: int, size: int, *, seed: int, stream: str) -> NDArray[np.int64]:
    """Row numbers at places start .. start + size - 1 of an endless sequence of epochs, [size].

    Each epoch has every number of 0 .. n - 1 once, in its own order.
    """
    at = np.arange(start, start + size)
    out = np.empty(size, np.int64)
    for epoch in range(start // n, (start + size - 1) // n + 1):
        inside = at // n == epoch
        keys = sequence(stream, seed, epoch).generate_state(ROUNDS, np.uint64).astype(np.uint64)
        out[inside] = permute(at[inside] - epoch * n, n, keys)
    return out


def permute(at: NDArray[np.int64], n: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Images of the numbers `at` under the permutation of 0 .. n - 1 with `keys`, [rounds]."""
    side = isqrt(n - 1) + 1
    out = _network(at, side, keys)
    while (beyond := out >= n).any():
        out[beyond] = _network(out[beyond], side, keys)
    return out


def _network(at: NDArray[np.int64], side: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Images of the numbers `at` under the network on 0 .. side^2 - 1."""
    left, right = np.divmod(at.astype(np.uint64), np.uint64(side))
    for key in keys:
        left, right = right, (left + _mix(right ^ key) % np.uint64(side)) % np.uint64(side)
    return (left * np.uint64(side) + right).astype(np.int64)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
