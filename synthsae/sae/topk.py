"""TopK sparse autoencoders (Gao et al. 2024, arXiv 2406.04093)."""

import torch
from torch import Tensor

from synthsae.sae import kernels
from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Gradients, SAEConfig, Step
from synthsae.sae.kernels import Code
from synthsae.sae.select import largest


class TopK:
    """The k largest pre-activations of a sample fire, if they are positive.

        z     = relu(TopK(W_enc (x - b_dec) + b_enc))
        x_hat = W_dec^T z + b_dec

    Loss of one SAE: sum ||x - x_hat||^2 / sum ||x - mean x||^2 over the batch, plus AuxK.
    """

    buffers: tuple[str, ...] = ()

    def __init__(self, config: SAEConfig):
        self.k = config.k

    def encode(self, params: dict[str, Tensor], x: Tensor, *, half: bool = False) -> Code:
        """The code of `x` [S, B, D]."""
        x = x - params["b_dec"][:, None]
        return self._code(params, x, pre_activations(params, x, half), half)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        w_enc, w_dec = params["w_enc"], params["w_dec"]
        x = x - params["b_dec"][:, None]
        pre = pre_activations(params, x, step.half)
        code = kernels.cheapest(self._code(params, x, pre, step.half), w_dec)
        order = kernels.by_latent(code, w_dec.shape[1])
        miss = kernels.decode(code, w_dec).sub_(x)  # x_hat - x
        spread = torch.linalg.vector_norm(x - x.mean(1, keepdim=True), dim=(1, 2))
        scale = kernels.reciprocal(spread**2)
        loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * scale

        g_out = miss * (2 * scale)[:, None, None]
        g_values = kernels.inner_products(g_out, w_dec, code).mul_(code.values > 0)
        g_b_enc = kernels.latent_sum(g_values, order)
        grads = {
            "w_enc": kernels.transpose_decode(g_values, order, x),
            "b_enc": g_b_enc,
            "w_dec": kernels.transpose_decode(code.values, order, g_out),
            "b_dec": g_out.sum(1) - (g_b_enc[:, None] @ w_enc)[:, 0],
        }
        if step.dead.any():
            loss = loss + auxk(params, grads, pre, x, -miss, step)
        fired = kernels.latent_max(code.values, order) > 0
        return Gradients(loss, grads, fired)

    def _code(self, params: dict[str, Tensor], x: Tensor, pre: Tensor, half: bool) -> Code:
        """The k largest of `pre`; where they come from a bfloat16 matmul, computed once more."""
        values, indices = largest(pre, self.k)
        if half:
            exact = kernels.inner_products(x, params["w_enc"], Code(values, indices))
            bias = params["b_enc"][:, None].expand(-1, x.shape[1], -1)
            values = exact + bias.gather(2, indices)
        return Code(values.relu_(), indices)


def pre_activations(params: dict[str, Tensor], x: Tensor, half: bool = False) -> Tensor:
    """W_enc x + b_enc of x with b_dec taken off, [S, B, M] float32; `half`: a bfloat16 matmul."""
    w_enc, b_enc = params["w_enc"], params["b_enc"][:, None]
    if half:
        return (x.bfloat16() @ w_enc.bfloat16().mT).float().add_(b_enc)
    return (x @ w_enc.mT).add_(b_enc)


ARCHITECTURES["topk"] = TopK
