"""Which files of SAEs hold copies of one SAE."""

import numpy as np

from synthsae.arrays import Array

ROUNDED = 2.0**-7  # relative change of an entry by two roundings to bfloat16
TINY = 1e-5  # absolute change of an entry near zero by rounding to float16


def copies(rows: Array, absolute: bool = False) -> list[list[int]]:
    """Groups of positions of SAEs that are copies of each other; an SAE without copies is alone.

    Copies have the same unit rows in the same order, up to rounding to 16 bits. Two trainings that
    agree in every latent still number them differently, so they are no copies. SAEs that differ by
    noise are no copies either: noise changes the small entries of a row by more than rounding does.

    Args:
        rows: unit decoder rows, [S, M, D]. Rows of zeros are not latents and are left out first.
        absolute: whether to ignore the sign of a row.
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
    """Are the unit rows `a` and `b` equal up to 16-bit rounding?"""
    if a.shape != b.shape or not len(a):
        return False
    if absolute:
        b = b * np.where(np.sum(a * b, axis=1) < 0, -1, 1)[:, None]
    return bool((abs(a - b) <= ROUNDED * abs(a) + TINY).all())
