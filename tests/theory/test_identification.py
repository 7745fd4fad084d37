"""The rate at which a dictionary turns in a block, against finite differences and the trainer."""

import numpy as np
import pytest
import torch
from scipy.linalg import block_diag, expm

from synthsae.geometry import haar
from synthsae.sae import SAEConfig
from synthsae.sae.base import ARCHITECTURES, Step
from synthsae.theory import frame_loss, generalised_normal, turning_frames, turning_rate

BLOCKS, K, D, B = (3, 3), 2, 10, 256


def codes(n: int, beta: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    gate = rng.random((n, 2, 1)) < 0.5
    return (gate * generalised_normal(beta, (n, 2, 3), rng)).reshape(n, 6)


@pytest.fixture
def frame() -> np.ndarray:
    return block_diag(*haar(3, np.random.default_rng(1), (2,)))


def tied(frame: np.ndarray) -> dict[str, torch.Tensor]:
    """Parameters of the SAE whose latents are the columns of `frame` and their negatives."""
    rows = torch.zeros(1, 12, D, dtype=torch.float64)
    rows[0, :, :6] = torch.tensor(np.concatenate([frame, -frame], axis=1).T)
    zero = torch.zeros(1, 12, dtype=torch.float64)
    zeros = torch.zeros(1, D, dtype=torch.float64)
    return {"w_enc": rows, "w_dec": rows.clone(), "b_enc": zero, "b_dec": zeros}


def decoder_gradients(frame: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Gradients of decoder rows of that SAE over batches of B of `c`, tangent, [batches, 12, D]."""
    sae = ARCHITECTURES["topk"](SAEConfig(n_latents=12, k=K))
    params, x = tied(frame), torch.zeros(len(c) // B, 1, B, D, dtype=torch.float64)
    x[..., :6] = torch.tensor(c).view(-1, 1, B, 6)
    step = Step(torch.zeros(1, 12, dtype=torch.bool), 0.0)
    found = [sae.gradients(params, batch, step).grads["w_dec"][0] for batch in x]
    w = params["w_dec"][0]
    return torch.stack([g - (g * w).sum(1, keepdim=True) * w for g in found]).numpy()


def test_the_direction_is_that_of_the_loss(frame: np.ndarray) -> None:
    """-dL / d angle by finite differences, over the rate: one inertia for each pair of rows."""
    c = codes(200 * B)
    c = np.random.default_rng(3).permutation(np.r_[c, -c])
    rate = turning_rate(c, frame, BLOCKS, K, B, D)
    assert np.allclose(rate, -rate.T)
    assert not rate[:3, 3:].any()
    variance = (c**2).sum(axis=1).mean()
    rms = np.sqrt((decoder_gradients(frame, c) ** 2).mean(axis=(0, 2)))  # of 12 rows
    for a, b in ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)):
        turn = np.zeros((6, 6))
        turn[a, b], turn[b, a] = 1, -1
        ends = [frame_loss(c, frame @ expm(e * turn), K) / variance for e in (1e-5, -1e-5)]
        inertia = -(ends[0] - ends[1]) / 2e-5 / rate[a, b]
        assert inertia == pytest.approx(rms[[a, b, a + 6, b + 6]].sum(), rel=0.05)


def test_the_encoder_has_no_gradient_there(frame: np.ndarray) -> None:
    sae = ARCHITECTURES["topk"](SAEConfig(n_latents=12, k=K))
    x = torch.zeros(1, B, D, dtype=torch.float64)
    x[..., :6] = torch.tensor(codes(B))
    step = Step(torch.zeros(1, 12, dtype=torch.bool), 0.0)
    grads = sae.gradients(tied(frame), x, step).grads
    assert float(grads["w_enc"].abs().max()) < 1e-12 < float(grads["w_dec"].abs().max())


@pytest.mark.parametrize(("beta", "low", "high"), [(1.0, 0.97, 1.0), (2.0, 0.7, 0.92)])
def test_frames_find_the_axes_where_the_loss_prefers_them(beta, low, high) -> None:
    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        return generalised_normal(beta, (n, 3), rng)

    frames = turning_frames(draw, (3,), 1, 64, 6, [0.0, 8.0], n_frames=6, samples=1024)
    assert frames.shape == (2, 6, 3, 3)
    np.testing.assert_allclose(frames.swapaxes(2, 3) @ frames, np.eye(3) + 0 * frames, atol=1e-9)
    start, end = np.abs(frames).max(axis=3).mean(axis=(1, 2))
    assert start < 0.95
    assert low <= end <= high


def test_four_times_the_batch_is_twice_as_fast_where_noise_sets_the_divisor(frame) -> None:
    c = codes(20_000, beta=1.9)
    slow, fast = (np.abs(turning_rate(c, frame, BLOCKS, K, b, D)).max() for b in (16, 64))
    assert fast / slow == pytest.approx(2, rel=0.02)
