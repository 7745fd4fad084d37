"""What architectures with a sparsity penalty share: codes are dense, and L0 follows the penalty.

The loss of one SAE is sum ||x - x_hat||^2 / sum ||x - mean x||^2 + coefficient * penalty, where the
penalty is scale-free too; each states its own. Biases or thresholds start where the first batch has
an L0 of `sae.k`, so that training has to hold it there. The encoder is float32 throughout: its
values are used, not their order alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from synthsae.sae.kernels import reciprocal
from synthsae.sae.topk import pre_activations


class Fit(NamedTuple):
    """A reconstruction and what its loss says.

    Attributes:
        miss: x_hat - x, [S, B, D].
        loss: sum ||x - x_hat||^2 / sum ||x - mean x||^2, [S].
        g_out: gradient of the loss in x_hat, [S, B, D].
    """

    miss: Tensor
    loss: Tensor
    g_out: Tensor


class Scale(NamedTuple):
    """The scale of a batch, by which losses are divided.

    Attributes:
        squares: 1 / sum ||x - mean x||^2, [S].
        lengths: 1 / sum ||x - mean x||, [S].
        length: mean ||x - mean x||, [S].
    """

    squares: Tensor
    lengths: Tensor
    length: Tensor


def cut(params: dict[str, Tensor], x: Tensor, k: int) -> Tensor:
    """What k pre-activations of a sample of `x` [S, B, D] exceed on average, 0 at least, [S]."""
    pre = pre_activations(params, x - params["b_dec"][:, None]).flatten(1)
    return pre.topk(k * x.shape[1], dim=1, sorted=False).values.amin(1).relu()


def scale(x: Tensor) -> Scale:
    """The scale of `x` [S, B, D]."""
    length = torch.linalg.vector_norm(x - x.mean(1, keepdim=True), dim=2)
    return Scale(reciprocal((length**2).sum(1)), reciprocal(length.sum(1)), length.mean(1))


def fit(values: Tensor, w_dec: Tensor, x: Tensor, squares: Tensor) -> Fit:
    """The reconstruction of `x` (x - b_dec) [S, B, D] by a dense code [S, B, M]."""
    miss = (values @ w_dec).sub_(x)
    loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * squares
    return Fit(miss, loss, miss * (2 * squares)[:, None, None])


def encoder_gradients(
    params: dict[str, Tensor], x: Tensor, g_pre: Tensor, g_out: Tensor
) -> dict[str, Tensor]:
    """Gradient of `w_enc`, `b_enc` and `b_dec` from those of pre-activations and of x_hat."""
    g_b_enc = g_pre.sum(1)
    return {
        "w_enc": g_pre.mT @ x,
        "b_enc": g_b_enc,
        "b_dec": g_out.sum(1) - (g_b_enc[:, None] @ params["w_enc"])[:, 0],
    }
