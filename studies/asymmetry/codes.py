"""Sums over the held-out codes of every seed, in NumPy and in bounded memory."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthsae.arrays import Array
from synthsae.evaluation import held_out
from synthsae.metrics.function import Residual
from synthsae.scores.run import Run

Floats = NDArray[np.float32]


class Codes(NamedTuple):
    """One batch of the seed at position s: x and x_hat [B, D], codes z [B, M], rows w [M, D]."""

    s: int
    x: Floats
    x_hat: Floats
    z: Floats
    w: Floats


def shares(run: Run, errors: Callable[[Codes], Sequence[Residual]]) -> list[list[Array]]:
    """`errors` of every batch, joined and divided by the scatter: for each seed a list of `fvu`s.

    The samples are those that the SAEs were evaluated on. Raises ValueError where the SAEs are not
    at hand.
    """
    stack = run.saes
    w_dec, b_dec = stack.params["w_dec"], stack.params["b_dec"]
    sums: dict[int, list[Residual]] = {}
    for held in held_out(run.source, run.config.eval_samples, stack=stack):
        for s, z in enumerate(stack.encode(held.x).dense(w_dec.shape[1])):
            tensors = (held.x, z @ w_dec[s] + b_dec[s], z, w_dec[s])
            parts = errors(Codes(s, *(v.cpu().numpy() for v in tensors)))
            before = sums.get(s)
            sums[s] = [a + b for a, b in zip(before, parts, strict=True)] if before else [*parts]
    return [[part.fvu for part in sums[s]] for s in sorted(sums)]
