"""ReLU sparse autoencoders with an L1 penalty (Bricken et al. 2023; Conerly et al. 2024)."""

import torch
from torch import Tensor

from synthsae.sae.base import ARCHITECTURES, Gradients, Step
from synthsae.sae.code import Code
from synthsae.sae.controller import Controlled
from synthsae.sae.penalised import (
    encoder_gradients,
    initial_threshold,
    reconstruct,
    scale_of,
)
from synthsae.sae.topk import pre_activations


class ReLU(Controlled):
    """Every positive pre-activation fires.

        z       = relu(W_enc (x - b_dec) + b_enc)
        x_hat   = W_dec^T z + b_dec
        penalty = sum_b sum_j z_bj ||w_dec_j|| / sum_b ||x_b - mean x||

    The penalty is that of Conerly et al., "Update on how we train SAEs" (2024). Rescaling a latent
    between encoder and decoder cannot lower it. The trainer keeps decoder rows at unit norm, where
    it equals the L1 norm of z. AuxK does not apply: relu of a dead latent's pre-activation is 0.
    """

    label, saelens, poolable, row_products = "ReLU + L1", "standard", False, 4
    read_from_saelens = ("standard",)

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Encoder biases at which L0 is k on the first batch `x` [S, B, D]."""
        return {"b_enc": params["b_enc"] - initial_threshold(params, x, self.k)[:, None]}

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D]."""
        return Code(pre_activations(params, x - params["b_dec"][:, None]).relu_(), None)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        w_dec, x = params["w_dec"], x - params["b_dec"][:, None]
        z, scale = pre_activations(params, x).relu_(), scale_of(x)
        _, loss, g_out = reconstruct(z, w_dec, x, scale.inverse_squares)
        norm = torch.linalg.vector_norm(w_dec, dim=2)
        penalty_weight = (params["coefficient"] * scale.inverse_norms)[:, None] * norm  # [S, M]
        mass, on = z.sum(1), z > 0  # summed activation of each latent, [S, M]

        g_pre = torch.baddbmm(penalty_weight[:, None], g_out, w_dec.mT).mul_(on)
        grads = encoder_gradients(params, x, g_pre, g_out)
        radial = (mass * penalty_weight / norm**2)[:, :, None]
        grads["w_dec"] = torch.baddbmm(radial * w_dec, z.mT, g_out)
        loss = loss + (mass * penalty_weight).sum(1)
        return Gradients(loss, grads, mass > 0, self.update_buffers(params, on, step))


ARCHITECTURES["relu"] = ReLU
