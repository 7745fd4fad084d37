"""TopK sparse autoencoders (Gao et al. 2024, arXiv 2406.04093)."""

import torch
from torch import Tensor

from synthsae.sae import kernels, ragged
from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, Step
from synthsae.sae.code import Code
from synthsae.sae.ragged import Ragged

CACHE, ROWS = 2**20, 512
"""A batch is encoded in parts of CACHE pre-activations, but of at least ROWS samples.

The pre-activations of a part stay in the cache of a core; a matmul of few samples is slow."""


class TopK(Architecture):
    """The k largest pre-activations of a sample fire, if they are positive.

        z     = relu(TopK(W_enc (x - b_dec) + b_enc))
        x_hat = W_dec^T z + b_dec

    Loss of one SAE: sum ||x - x_hat||^2 / sum ||x - mean x||^2 over the batch, plus AuxK.
    """

    label, saelens, poolable, row_products = "TopK", "topk", True, 4
    read_from_saelens = ("topk",)

    arrays, static = 1, True

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D]."""
        x = x - params["b_dec"][:, None]
        return self._code(params, x, bfloat16_selection)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        x = x - params["b_dec"][:, None]
        code = kernels.dense_if_cheaper(
            self._code(params, x, step.bfloat16_selection), params["w_dec"]
        )
        return sparse_gradients(params, x, code, step)

    def _code(self, params: dict[str, Tensor], x: Tensor, bfloat16_selection: bool) -> Code:
        """The code of `x`, activations minus b_dec, [S, B, D].

        With `bfloat16_selection` the pre-activations of a bfloat16 matmul choose the latents, and
        the values of the chosen latents are computed again in float32.
        """
        s, m = params["w_enc"].shape[:2]
        rows = x.shape[1] if x.is_cuda else max(ROWS, CACHE // (s * m))
        parts = x.split(rows, dim=1)
        codes = [
            kernels.top(pre_activations(params, part, bfloat16_selection), self.k) for part in parts
        ]
        values, indices = (torch.cat(each, dim=1) for each in zip(*codes, strict=True))
        if bfloat16_selection:
            exact = kernels.inner_products(x, params["w_enc"], Code(values, indices))
            bias = params["b_enc"][:, None].expand(-1, x.shape[1], -1)
            values = (exact + bias.gather(2, indices)).relu_()
        return Code(values, indices)


def sparse_gradients(
    params: dict[str, Tensor], x: Tensor, code: Code | Ragged, step: Step
) -> Gradients:
    """Loss and gradients of a sparse code, with AuxK; the choice of latents is held fixed.

    Args:
        params: parameters of the SAEs, [S, ...] by name.
        x: activations minus b_dec, [S, B, D].
        code: the code of `x`.
        step: the training step.
    """
    w_enc, w_dec = params["w_enc"], params["w_dec"]
    of = ragged if isinstance(code, Ragged) else kernels
    order = of.by_latent(code, w_dec.shape[1])
    miss, dots = of.residual(code, w_dec, x)
    scale = kernels.inverse_scatter(x)
    loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * scale

    slope = 2 * scale[:, None]  # the gradient of the loss in x_hat is slope * miss
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
    if step.may_revive:
        loss = loss + auxk(params, grads, x, -miss, step)
    fired = kernels.latent_max(code.values, order) > 0
    return Gradients(loss, grads, fired)


def pre_activations(
    params: dict[str, Tensor], x: Tensor, bfloat16_selection: bool = False
) -> Tensor:
    """W_enc x + b_enc, [S, B, M], of `x`, activations minus b_dec, [S, B, D].

    With `bfloat16_selection` the matmul and its result are in bfloat16.
    """
    w_enc, b_enc = params["w_enc"], params["b_enc"][:, None]
    if bfloat16_selection:
        return torch.baddbmm(b_enc.bfloat16(), x.bfloat16(), w_enc.bfloat16().mT)
    return (x @ w_enc.mT).add_(b_enc)


ARCHITECTURES["topk"] = TopK
