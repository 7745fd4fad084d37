"""JumpReLU sparse autoencoders (Rajamanoharan et al. 2024, arXiv 2407.14435)."""

import torch
from torch import Tensor

from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, Step
from synthsae.sae.code import Code
from synthsae.sae.controller import CONSTANT, MAX_ERROR, PenaltyOptions
from synthsae.sae.penalised import (
    encoder_gradients,
    initial_threshold,
    reconstruct,
    scale_of,
)
from synthsae.sae.topk import pre_activations

BANDWIDTH = 0.1
"""Width of the kernel, in units of mean ||x - mean x||."""

RESET = 0.3
"""Share of the training in which a constant e adds e to the multiplier."""


class JumpReLU(Architecture):
    """A latent fires where its pre-activation is above its threshold, with the whole value.

        pre     = W_enc (x - b_dec) + b_enc
        z       = pre where pre > theta, else 0,      theta = exp(log_threshold) of each latent
        x_hat   = W_dec^T z + b_dec
        penalty = e^2 + 2 l e,      e = L0 / k - 1,      L0 = mean number that fire in the batch

    The penalty aims at L0 = k, with weight 1. With e^2 alone L0 would end up to 13% above k, where
    one more firing costs as much as it saves in reconstruction error. So there is also a multiplier
    l of the constraint e <= 0 (method of multipliers),

        l_t = max(0, l_{t-1} + e_t / (RESET n_steps)), with e clipped to +-1,

    which is constant in the last 20% of training. If `sae.options.coefficient` is set, the penalty
    is that of the paper, coefficient * L0 / k.

    The gradient with respect to theta is the paper's pseudo-derivative. With the rectangle K(u) = 1
    for |u| < 1/2 and the width w = BANDWIDTH mean ||x - mean x||,

        d z / d theta = -theta / w K((pre - theta) / w)
        d 1[pre > theta] / d theta = -1 / w K((pre - theta) / w).

    As in the paper, the step function gives `pre` no gradient. AuxK is that of TopK: the
    pre-activation of a dead latent can be positive, below its threshold.
    """

    label, saelens, poolable, row_products = "JumpReLU", "jumprelu", False, 4
    read_from_saelens = ("jumprelu",)
    Options = PenaltyOptions

    buffers = ("multiplier",)

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """The parameters of TopK, thresholds, which `start` sets, and the multiplier."""
        more = {"log_threshold": torch.zeros(self.config.size), "multiplier": torch.tensor(0.0)}
        return super().init(d_model, seed) | more

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Thresholds above 0 at which L0 is k on the first batch `x` [S, B, D]."""
        least = 1e-3 * scale_of(x).mean_norm + torch.finfo(x.dtype).tiny
        at = torch.maximum(initial_threshold(params, x, self.k), least)
        return {"log_threshold": at.log()[:, None].expand_as(params["log_threshold"])}

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D]."""
        pre = pre_activations(params, x - params["b_dec"][:, None])
        return Code(pre.mul_(pre > params["log_threshold"].exp()[:, None]), None)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        w_dec, x = params["w_dec"], x - params["b_dec"][:, None]
        theta, scale = params["log_threshold"].exp()[:, None], scale_of(x)
        pre = pre_activations(params, x)
        on = pre > theta
        z = pre * on
        miss, loss, g_out = reconstruct(z, w_dec, x, scale.inverse_squares)
        multiplier, n = params["multiplier"], self.k * x.shape[1]
        excess = on.sum((1, 2)).to(x.dtype) / n - 1
        penalty, slope = self._penalty(excess, multiplier)
        firing_penalty = (slope / n)[:, None, None]  # derivative in the number of firings

        g_z = g_out @ w_dec.mT
        width = (BANDWIDTH * scale.mean_norm)[:, None, None]
        near = (pre - theta).abs_() < width / 2
        g_theta = -torch.where(near, torch.addcmul(firing_penalty, theta, g_z), 0).sum(1)
        grads = encoder_gradients(params, x, g_z.mul_(on), g_out)
        grads["w_dec"] = z.mT @ g_out
        grads["log_threshold"] = g_theta * (theta / width)[:, 0]
        loss = loss + penalty
        if step.may_revive:
            loss = loss + auxk(params, grads, x, -miss, step)
        return Gradients(loss, grads, on.any(1), self._update_multiplier(multiplier, excess, step))

    def _penalty(self, excess: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty and its derivative at L0 / k - 1 = `excess` [S], [S] each."""
        c = self.options.coefficient
        if c is None:
            return excess * (excess + 2 * multiplier), 2 * (excess + multiplier)
        return c * (excess + 1), torch.full_like(excess, c)

    def _update_multiplier(
        self, multiplier: Tensor, excess: Tensor, step: Step
    ) -> dict[str, Tensor]:
        """The new multiplier [S] by its name; nothing if it stays as it is."""
        if self.options.coefficient is not None or step.training_done >= 1 - CONSTANT:
            return {}
        change = excess.clamp(-MAX_ERROR, MAX_ERROR) * (step.step_fraction / RESET)
        return {"multiplier": (multiplier + change).relu()}


ARCHITECTURES["jumprelu"] = JumpReLU
