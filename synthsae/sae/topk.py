"""TopK sparse autoencoders (Gao et al. 2024, arXiv 2406.04093)."""

import torch
from torch import Tensor

from synthsae.sae import kernels, ragged
from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, Step
from synthsae.sae.kernels import Code
from synthsae.sae.ragged import Ragged


class TopK(Architecture):
    """The k largest pre-activations of a sample fire, if they are positive.

        z     = relu(TopK(W_enc (x - b_dec) + b_enc))
        x_hat = W_dec^T z + b_dec

    Loss of one SAE: sum ||x - x_hat||^2 / sum ||x - mean x||^2 over the batch, plus AuxK.
    """

    arrays = 3

    def encode(self, params: dict[str, Tensor], x: Tensor, *, half: bool = False) -> Code:
        """The code of `x` [S, B, D]."""
        x = x - params["b_dec"][:, None]
        return self._code(params, x, pre_activations(params, x, half), half)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        x = x - params["b_dec"][:, None]
        pre = pre_activations(params, x, step.half)
        code = kernels.cheapest(self._code(params, x, pre, step.half), params["w_dec"])
        return sparse_gradients(params, x, pre, code, step)

    def _code(self, params: dict[str, Tensor], x: Tensor, pre: Tensor, half: bool) -> Code:
        """The k largest of `pre`; where they come from a bfloat16 matmul, computed once more."""
        code = kernels.top(pre, self.k)
        if code.indices is None or not half:
            return code
        exact = kernels.inner_products(x, params["w_enc"], code)
        bias = params["b_enc"][:, None].expand(-1, x.shape[1], -1)
        return Code((exact + bias.gather(2, code.indices)).relu_(), code.indices)


def sparse_gradients(
    params: dict[str, Tensor], x: Tensor, pre: Tensor, code: Code | Ragged, step: Step
) -> Gradients:
    """Loss and gradient of a code whose choice of latents is held fixed, with AuxK.

    Shapes: `x` what the encoder saw (x - b_dec) [S, B, D], `pre` its pre-activations [S, B, M].
    """
    w_enc, w_dec = params["w_enc"], params["w_dec"]
    of = ragged if isinstance(code, Ragged) else kernels
    order = of.by_latent(code, w_dec.shape[1])
    miss, dots = of.residual(code, w_dec, x)
    scale = kernels.inverse_scatter(x)
    loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * scale

    slope = 2 * scale[:, None]  # of the loss in x_hat, over miss
    each = slope.view(-1, *[1] * (code.values.ndim - 1))
    g_values = dots.mul_(each).mul_(code.values > 0)
    g_b_enc = kernels.latent_sum(g_values, order)
    g_dec, g_enc = kernels.weight_gradients(order, code.values * each, g_values, miss, x)
    grads = {
        "w_enc": g_enc,
        "b_enc": g_b_enc,
        "w_dec": g_dec,
        "b_dec": miss.sum(1) * slope - (g_b_enc[:, None] @ w_enc)[:, 0],
    }
    if step.dead.any():
        loss = loss + auxk(params, grads, pre, x, -miss, step)
    fired = kernels.latent_max(code.values, order) > 0
    return Gradients(loss, grads, fired)


def pre_activations(params: dict[str, Tensor], x: Tensor, half: bool = False) -> Tensor:
    """W_enc x + b_enc of x with b_dec taken off, [S, B, M]; `half`: in bfloat16."""
    w_enc, b_enc = params["w_enc"], params["b_enc"][:, None]
    if half:
        return torch.baddbmm(b_enc.bfloat16(), x.bfloat16(), w_enc.bfloat16().mT)
    return (x @ w_enc.mT).add_(b_enc)


ARCHITECTURES["topk"] = TopK
