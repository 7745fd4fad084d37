"""Which SAEs are the same one, stored twice."""

import numpy as np

from synthsae.geometry import Array

ROUNDED = 2.0**-7  # share of an entry of a unit row that two roundings to bfloat16 may change
TINY = 1e-5  # what float16 may change of an entry near zero


def copies(rows: Array, absolute: bool = False) -> list[list[int]]:
    """Positions of SAEs with the same unit rows [S, M, D] in the same order, as groups.

    Every SAE is in one group, mostly alone. Rows of zeros are left out first. Rounding to 16 bits
    does not matter, nor, with `absolute`, the sign of a row. Two trainings that agree in every
    latent still number them differently, so their order is what tells them from copies.
    """
    groups: list[list[int]] = []
    present = np.any(rows != 0, axis=2)
    for i, x in enumerate(rows):
        for group in groups:
            if _same(rows[group[0]][present[group[0]]], x[present[i]], absolute):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _same(a: Array, b: Array, absolute: bool) -> bool:
    if a.shape != b.shape:
        return False
    if absolute:
        b = b * np.where(np.sum(a * b, axis=1) < 0, -1, 1)[:, None]
    return bool((abs(a - b) <= ROUNDED * abs(a) + TINY).all())
