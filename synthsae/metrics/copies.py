"""Which SAEs are the same one, stored twice."""

import numpy as np

from synthsae.arrays import Array

ROUNDED = 2.0**-7  # share of an entry of a unit row that two roundings to bfloat16 may change
TINY = 1e-5  # what float16 may change of an entry near zero


def copies(rows: Array, absolute: bool = False) -> list[list[int]]:
    """Positions of SAEs with the same unit rows in the same order, as groups; most are alone.

    Args:
        rows: unit decoder rows, [S, M, D]. Rows of zeros are no latents and are left out first.
        absolute: whether the sign of a row does not matter.

    Rounding to 16 bits does not matter. Two trainings that agree in every latent still number them
    differently: their order is what tells them from copies. Seeds that differ by noise are no
    copies: noise moves the small entries of a row by more than rounding does.
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
    if a.shape != b.shape or not len(a):
        return False
    if absolute:
        b = b * np.where(np.sum(a * b, axis=1) < 0, -1, 1)[:, None]
    return bool((abs(a - b) <= ROUNDED * abs(a) + TINY).all())
