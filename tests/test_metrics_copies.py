"""Which SAEs are one and the same, against copies that were made."""

import numpy as np
import pytest
import torch

from synthsae.metrics.copies import copies

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 60, 24))


def stored(x: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """What comes back from a file of that dtype."""
    return torch.tensor(x).to(dtype).double().numpy()


def test_groups_and_what_is_no_copy() -> None:
    turned = A[RNG.permutation(60)] * RNG.uniform(0.5, 2, (60, 1))
    padded = np.vstack([B, np.zeros((3, 24))])  # a row of zeros is no latent
    part = np.vstack([A[:59], np.zeros((1, 24))])
    other = np.vstack([A[:59], B[:1]])
    assert copies([A, B, turned, part, padded, other, -A]) == [[0, 2], [1, 4]]
    assert copies(np.stack([A, B, A])) == [[0, 2]]
    assert copies([A, B]) == copies([A]) == copies([]) == copies(np.zeros((3, 4, 5))) == []


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
    x[m // 3] = x[0] + 1e-6
    assert copies([x, stored(x, dtype)[rng.permutation(m)]]) == [[0, 1]]


def test_seeds_that_differ_by_noise_are_no_copies() -> None:
    """Less noise than rounding to bfloat16 makes, but on small entries as on large ones."""
    assert copies([A + 1e-3 * RNG.standard_normal(A.shape) for _ in range(5)]) == []


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"directions\[1\]'s rows: shape \(3,\); allowed: \(24,\)"):
        copies([A, A[:, :3]])
    with pytest.raises(ValueError, match=r"directions\[1\]: 1440 non-finite"):
        copies([A, A * np.nan])
