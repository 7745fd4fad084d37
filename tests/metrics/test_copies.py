"""Which SAEs are one, stored twice, against copies that were made."""

import numpy as np
import pytest
import torch

from synthsae.geometry import unit
from synthsae.metrics.copies import copies

RNG = np.random.default_rng(0)
A, B = unit(RNG.standard_normal((2, 60, 24)))


def rounded(x: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Unit rows of what comes back from a file of that dtype."""
    return unit(torch.tensor(x).to(dtype).double().numpy())


def test_copies_are_grouped_and_other_saes_are_not() -> None:
    other_order = A[RNG.permutation(60)]  # as another training that agrees in every latent
    part = np.vstack([A[:59], np.zeros((1, 24))])
    spread = np.vstack([A[:30], np.zeros((1, 24)), A[30:]])  # a row of zeros is no latent
    padded = [np.vstack([x, np.zeros((61 - len(x), 24))]) for x in (A, B, other_order, part, -A)]
    assert copies(np.stack([*padded, spread])) == [[0, 5], [1], [2], [3], [4]]
    assert copies(np.stack([A, B, A])) == [[0, 2], [1]]
    assert copies(np.stack([A, -A, B]), absolute=True) == [[0, 1], [2]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("seed", range(10))
def test_a_rounded_copy_is_one_whatever_its_rows_are(dtype: torch.dtype, seed: int) -> None:
    """Sparse rows, rows that one entry dominates, rows of any norm, and doubles of a row."""
    rng = np.random.default_rng(seed)
    m, d = rng.integers(1, 80), rng.integers(2, 60)
    x = rng.standard_normal((m, d)) * 10.0 ** rng.uniform(-2, 2, (m, 1))
    x[rng.random(x.shape) < 0.2] = 0
    x[:: rng.integers(1, 9), 0] *= 30
    x[m // 2] = x[0]
    assert copies(np.stack([unit(x), rounded(x, dtype)])) == [[0, 1]]


def test_seeds_that_differ_by_noise_are_no_copies() -> None:
    """Less noise than rounding to bfloat16 makes, but on small entries as on large ones."""
    near = unit(A + 1e-3 * RNG.standard_normal((5, *A.shape)))
    assert copies(near) == [[0], [1], [2], [3], [4]]
