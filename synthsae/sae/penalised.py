"""Functions of the architectures with a sparsity penalty: ReLU, JumpReLU and Gated.

The loss of one SAE is sum ||x - x_hat||^2 / sum ||x - mean x||^2 + coefficient * penalty. The
penalty, which each architecture defines, does not depend on the scale of x either. Biases or
thresholds start where the first batch has an L0 of `sae.k`. Codes are dense. The encoder is always
in float32, because the values of pre-activations are used, not only their order.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from synthsae.sae.kernels import reciprocal
from synthsae.sae.topk import pre_activations


class Reconstruction(NamedTuple):
    """The error of a reconstruction, and its loss.

    Attributes:
        miss: x_hat - x, [S, B, D].
        loss: sum ||x - x_hat||^2 / sum ||x - mean x||^2, [S].
        g_out: gradient of the loss with respect to x_hat, [S, B, D].
    """

    miss: Tensor
    loss: Tensor
    g_out: Tensor


class Scale(NamedTuple):
    """The scale of a batch of one SAE, by which losses and penalties are divided.

    Attributes:
        inverse_squares: 1 / sum ||x - mean x||^2, [S].
        inverse_norms: 1 / sum ||x - mean x||, [S].
        mean_norm: mean ||x - mean x||, [S].
    """

    inverse_squares: Tensor
    inverse_norms: Tensor
    mean_norm: Tensor


def initial_threshold(params: dict[str, Tensor], x: Tensor, k: int) -> Tensor:
    """The threshold that k pre-activations of a sample exceed on average, 0 or more, [S].

    Args:
        params: parameters of the SAEs, [S, ...] by name.
        x: activations, [S, B, D].
        k: mean number of pre-activations above the threshold.
    """
    pre = pre_activations(params, x - params["b_dec"][:, None]).flatten(1)
    return pre.topk(k * x.shape[1], dim=1, sorted=False).values.amin(1).relu()


def scale_of(x: Tensor) -> Scale:
    """The scale of the batch `x` [S, B, D]."""
    length = torch.linalg.vector_norm(x - x.mean(1, keepdim=True), dim=2)
    return Scale(reciprocal((length**2).sum(1)), reciprocal(length.sum(1)), length.mean(1))


def reconstruct(
    values: Tensor, w_dec: Tensor, x: Tensor, inverse_squares: Tensor
) -> Reconstruction:
    """Error and loss of the reconstruction of a batch from a dense code.

    Args:
        values: the code, [S, B, M].
        w_dec: decoder rows, [S, M, D].
        x: activations minus b_dec, [S, B, D].
        inverse_squares: 1 / sum ||x - mean x||^2, [S].
    """
    miss = (values @ w_dec).sub_(x)
    loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * inverse_squares
    return Reconstruction(miss, loss, miss * (2 * inverse_squares)[:, None, None])


def encoder_gradients(
    params: dict[str, Tensor], x: Tensor, g_pre: Tensor, g_out: Tensor
) -> dict[str, Tensor]:
    """Gradients of `w_enc`, `b_enc` and `b_dec`, by name.

    Args:
        params: parameters of the SAEs, [S, ...] by name.
        x: activations minus b_dec, [S, B, D].
        g_pre: gradient of the pre-activations, [S, B, M].
        g_out: gradient of x_hat, [S, B, D].
    """
    g_b_enc = g_pre.sum(1)
    return {
        "w_enc": g_pre.mT @ x,
        "b_enc": g_b_enc,
        "b_dec": g_out.sum(1) - (g_b_enc[:, None] @ params["w_enc"])[:, 0],
    }
