"""How long training takes to find axes that the loss prefers only a little.

A dictionary that already spans a block can still turn inside it. While the loss hardly depends on
that rotation, training turns the dictionary slowly, and seeds disagree although their features are
identifiable. This file computes how slowly, before any training and with no fitted number.

Derivation. Let the latents of R orthonormal directions be the 2R atoms +-q_1 ... +-q_R, with the
encoder equal to the decoder and no bias. For TopK this SAE is optimal for its dictionary (a value
that is selected is a projection), so the only slow motion left is the rotation Q' = Q A, with A
antisymmetric. With y = Q^T c and the k largest |y_i| selected (y^S, the others 0), the loss is
L = 1 - E||y^S||^2 / V, V = E||c||^2, and turning q_b towards q_a changes it at the rate
dL / d angle = -2 (E y_a y_b^S - E y_b y_a^S) / V.

Adam divides each coordinate of a gradient by its root mean square. For a decoder row that is
s_a = (||E g_a||^2 / D + E||g_a||^2 / (B D))^(1/2), g_a = 2 relu(y_a^S) (c - Q y^S) / V, for batches
of B samples in D dimensions: noise, not the mean, sets it. Gradient flow in the metric that these
divisors define, restricted to rotations, is

    A_ab = -(dL / d angle) / (2 s_a + 2 s_b)    per unit of learning rate times steps:

four rows turn, +-q_a and +-q_b. The encoder's divisors are left out: at this solution its gradient
is zero sample by sample. So a predicted time is a lower bound, and it does not count the time in
which training finds the subspace. What it does say is the scaling: time is learning rate times
steps, it grows as 1 / sqrt(B), and it diverges where the loss is flat.

Reappearance then follows from frames that start as independent Haar rotations.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve

from synthsae.arrays import Array, Rng
from synthsae.checks import array, count, in_range, orthonormal_columns
from synthsae.geometry import haar

LARGEST_TURN = 0.2
"""Radians that a frame turns in one step of the integration, at most."""


def turning_rate(
    codes: ArrayLike, frame: ArrayLike, blocks: Sequence[int], k: int, batch_size: int, d_model: int
) -> Array:
    """Rotation A of a +- frame for each unit of learning rate times steps, antisymmetric [N, N].

    Args:
        codes: samples of the codes of all blocks in coordinates of their axes, [n, N].
        frame: orthonormal columns, block-diagonal, [N, N].
        blocks: ranks of the blocks, which sum to N; a frame turns inside each.
        k: latents that fire on a sample, shared by the blocks.
        batch_size: samples B of a training batch.
        d_model: dimension D of an activation.

    Returns:
        A with d frame / d (learning rate x steps) = frame A.
    """
    c, q = array("codes", codes, "[n, N]"), orthonormal_columns("frame", frame)
    b, d = count("batch_size", batch_size), count("d_model", d_model)
    y = c @ q
    kept = _largest(y, count("k", k))
    missed, variance = y - kept, (c**2).sum(axis=1).mean()
    positive = np.maximum(kept, 0)
    gradient = 2 * positive.T @ missed / len(y) / variance
    noise = (2 / variance) ** 2 * (positive**2 * (missed**2).sum(axis=1)[:, None]).mean(axis=0)
    divisor = np.sqrt(((gradient**2).sum(axis=1) + noise / b) / d)
    moment = kept.T @ y / len(y)
    inertia = 2 * (divisor[:, None] + divisor)
    same = np.repeat(np.arange(len(blocks)), blocks)
    free = (same[:, None] == same) & (inertia > 0)
    slope = 2 * (moment.T - moment) / variance  # of the loss, downwards
    return np.divide(slope, inertia, out=np.zeros_like(slope), where=free)


def turning_frames(
    draw: Callable[[int, np.random.Generator], Array],
    blocks: Sequence[int],
    k: int,
    batch_size: int,
    d_model: int,
    times: ArrayLike,
    *,
    n_frames: int = 8,
    samples: int = 4096,
    rng: Rng = 0,
) -> Array:
    """Frames that start as Haar rotations and turn as training turns them, [times, frames, N, N].

    Args:
        draw: draws (n, generator) codes of all blocks, [n, N]; fresh ones for every step, so that
            the errors of the samples average out.
        blocks: ranks of the blocks.
        k, batch_size, d_model: as in `turning_rate`.
        times: learning rate times steps, increasing, [times].
        n_frames: independent frames, as seeds.
        samples: codes for each step of the integration.
        rng: generator or seed.
    """
    t = in_range("times", times, 0)
    generator = np.random.default_rng(rng)
    start = np.zeros((count("n_frames", n_frames), sum(blocks), sum(blocks)))
    for i, at in zip(blocks, np.cumsum([0, *blocks]), strict=False):
        start[:, at : at + i, at : at + i] = haar(i, generator, (len(start),))
    out = np.empty((len(t), *start.shape))
    for f, frame in enumerate(start):
        now = 0.0
        for i, until in enumerate(t):
            while now < until:
                a = turning_rate(draw(samples, generator), frame, blocks, k, batch_size, d_model)
                step = min(until - now, LARGEST_TURN / max(np.abs(a).max(), 1e-12))
                half = a * step / 2
                frame = frame @ solve(np.eye(len(a)) - half, np.eye(len(a)) + half)
                now = until if step == until - now else now + step
            out[i, f] = frame
    return out


def _largest(y: Array, k: int) -> Array:
    """`y` [n, N] with all but the k largest |y| of a row set to 0."""
    if k >= y.shape[1]:
        return y
    size = np.abs(y)
    least = np.partition(size, -k, axis=1)[:, -k, None]
    return np.where(size >= least, y, 0.0)
