"""Gated sparse autoencoders (Rajamanoharan et al. 2024, arXiv 2404.16014)."""

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


class Gated(Controlled):
    """A gate decides whether a latent fires, a magnitude how strongly; both share encoder rows.

        gate    = W_enc (x - b_dec) + b_enc
        mag     = exp(r_mag) W_enc (x - b_dec) + b_mag
        z       = relu(mag) where gate > 0, else 0
        x_hat   = W_dec^T z + b_dec
        penalty = sum_b sum_j relu(gate_bj) / sum_b ||x_b - mean x||

    The step function gives the gate no gradient. As in the paper, the loss therefore has a third
    term: the reconstruction error of relu(gate), normalised as the first term, with W_dec and b_dec
    held fixed. Decoder rows have unit norm, as in the paper, so that the penalty cannot be lowered
    by rescaling. AuxK does not apply: relu of a dead latent's gate is 0.
    """

    label, saelens, poolable, row_products = "Gated", "gated", False, 6  # the gate decodes, too
    read_from_saelens = ("gated",)

    arrays = 14

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """The parameters of TopK, and those of the magnitude, which equals the gate at first."""
        m = self.config.size
        return super().init(d_model, seed) | {"r_mag": torch.zeros(m), "b_mag": torch.zeros(m)}

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Biases of the gate at which L0 is k on the first batch `x` [S, B, D]."""
        return {"b_enc": params["b_enc"] - initial_threshold(params, x, self.k)[:, None]}

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D]."""
        gate = pre_activations(params, x - params["b_dec"][:, None])
        return Code(_magnitudes(params, gate).relu_().mul_(gate > 0), None)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        w_dec, x = params["w_dec"], x - params["b_dec"][:, None]
        gate, scale = pre_activations(params, x), scale_of(x)
        z = _magnitudes(params, gate).relu_().mul_(gate > 0)
        _, loss, g_out = reconstruct(z, w_dec, x, scale.inverse_squares)
        on = z > 0
        g_mag = (g_out @ w_dec.mT).mul_(on)
        project = gate - params["b_enc"][:, None]
        factor = params["r_mag"].exp()

        opened = gate.relu_()
        _, gate_loss, g_gate_out = reconstruct(opened, w_dec, x, scale.inverse_squares)
        penalty_weight = (params["coefficient"] * scale.inverse_norms)[:, None]
        g_gate = torch.baddbmm(penalty_weight[:, None], g_gate_out, w_dec.mT).mul_(opened > 0)
        g_pre = torch.addcmul(g_gate, factor[:, None], g_mag)
        grads = encoder_gradients(params, x, g_pre, g_out)
        grads["b_enc"] = g_gate.sum(1)
        grads["b_mag"] = g_mag.sum(1)
        grads["r_mag"] = (g_mag * project).sum(1) * factor
        grads["w_dec"] = z.mT @ g_out
        loss = loss + gate_loss + penalty_weight[:, 0] * opened.sum((1, 2))
        return Gradients(loss, grads, on.any(1), self.update_buffers(params, on, step))


def _magnitudes(params: dict[str, Tensor], gate: Tensor) -> Tensor:
    """exp(r_mag) W_enc x + b_mag from gate = W_enc x + b_enc, [S, B, M]."""
    factor = params["r_mag"].exp()
    shift = params["b_mag"] - factor * params["b_enc"]
    return torch.addcmul(shift[:, None], gate, factor[:, None])


ARCHITECTURES["gated"] = Gated
