"""TopK sparse autoencoders (Gao et al. 2024, arXiv 2406.04093)."""

import torch
from torch import Tensor

from synthsae.sae import kernels
from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Gradients, SAEConfig
from synthsae.sae.kernels import Code


class TopK:
    """The k largest pre-activations of a sample fire, if they are positive.

        z     = relu(TopK(W_enc (x - b_dec) + b_enc))
        x_hat = W_dec^T z + b_dec

    Loss of one SAE: sum ||x - x_hat||^2 / sum ||x - mean x||^2 over the batch, plus AuxK.
    """

    def __init__(self, config: SAEConfig):
        self.k = config.k

    def encode(self, params: dict[str, Tensor], x: Tensor) -> Code:
        """The code of `x` [S, B, D]."""
        return self._top(pre_activations(params, x))

    def gradients(
        self, params: dict[str, Tensor], x: Tensor, dead: Tensor, aux_coefficient: float
    ) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand; `dead` [S, M] feeds AuxK."""
        w_enc, w_dec, b_dec = params["w_enc"], params["w_dec"], params["b_dec"]
        pre = pre_activations(params, x)
        code = self._top(pre)
        order = kernels.by_latent(code, w_dec.shape[1])
        miss = kernels.decode(code, w_dec).add_(b_dec[:, None]).sub_(x)  # x_hat - x
        spread = torch.linalg.vector_norm(x - x.mean(1, keepdim=True), dim=(1, 2))
        scale = kernels.reciprocal(spread**2)
        loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * scale

        g_out = miss * (2 * scale)[:, None, None]
        g_values = kernels.inner_products(g_out, w_dec, code) * (code.values > 0)
        g_b_enc = kernels.latent_reduce(g_values, order, "sum")
        grads = {
            "w_enc": kernels.transpose_decode(g_values, order, x).sub_(
                g_b_enc[:, :, None] * b_dec[:, None]
            ),
            "b_enc": g_b_enc,
            "w_dec": kernels.transpose_decode(code.values, order, g_out),
            "b_dec": g_out.sum(1) - (g_b_enc[:, None] @ w_enc)[:, 0],
        }
        if dead.any():
            loss = loss + auxk(params, grads, pre, x, -miss, dead, aux_coefficient)
        fired = kernels.latent_reduce(code.values, order, "max") > 0
        return Gradients(loss, grads, fired)

    def _top(self, pre: Tensor) -> Code:
        values, indices = pre.topk(self.k, dim=-1, sorted=False)
        return Code(values.relu_(), indices)


def pre_activations(params: dict[str, Tensor], x: Tensor) -> Tensor:
    """W_enc (x - b_dec) + b_enc, [S, B, M]."""
    w_enc = params["w_enc"]
    bias = params["b_enc"] - (w_enc @ params["b_dec"][:, :, None])[:, :, 0]
    return torch.baddbmm(bias[:, None], x, w_enc.mT)


ARCHITECTURES["topk"] = TopK
